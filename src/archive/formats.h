// formats.h: the bytes of the archive's objects (docs/formats/archive.md). Pure; parsers throw
// corrupt.
#pragma once
#include <map>
#include <string>

#include "archive/keys.h"
#include "base/bytes.h"
#include "protocol/layer_copy.h"

namespace halogen::archive {

// A layer file as it was put.
using ArchivedLayer = LayerCopy;

// manifest-<generation>: a pageserver's manifest, and where its layers are.
struct ArchivedManifest {
  TimelineId timeline;
  std::optional<TimelineId> ancestor;
  Lsn ancestor_lsn;
  Lsn consistent;  // All WAL up to here is in the layers.
  std::map<uint64_t, ArchivedLayer> layers;
  std::string manifest;  // As the pageserver wrote it.

  std::string encode() const;
  static ArchivedManifest parse(Bytes bytes);
};

// A piece of WAL, within one segment.
struct WalPiece {
  TimelineId timeline;
  uint64_t system_identifier = 0;
  Lsn start;  // Where the timeline's WAL begins.
  uint64_t term = 0;
  Lsn from;
  std::string wal;

  std::string encode() const;
  static WalPiece parse(Bytes bytes);
};

// Any file, with a checksum around it.
std::string wrap(std::string_view content);
std::string unwrap(Bytes bytes);

}  // namespace halogen::archive
