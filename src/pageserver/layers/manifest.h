// manifest.h: the file that says what a timeline consists of. Written last, durably and whole, it
// is the commit point of a flush, a merge and the creation of a timeline.
#pragma once
#include <optional>
#include <vector>

#include "base/ids.h"
#include "pageserver/layers/layer_file.h"
#include "pageserver/layers/retain.h"

namespace halogen::pageserver {

struct Manifest {
  TenantId tenant;
  TimelineId timeline;
  uint32_t major = 15;  // Of PostgreSQL.
  std::optional<TimelineId> ancestor;
  Lsn ancestor_lsn;         // The branch point; reads at or below it fall through.
  Lsn start_lsn;            // The oldest LSN that can be read here; the branch point of a branch.
  Lsn disk_consistent_lsn;  // All WAL up to here is in `layers`, or in the ancestor.
  uint64_t next_id = 1;     // Of the next layer file.
  RetainSet retain;         // Below its horizon, history is only there for its points.
  std::vector<LayerDesc> layers;  // The newest run first; within a run in order of keys.

  std::string encode() const;
  // Throws corrupt.
  static Manifest parse(Bytes bytes);

  static Manifest load(const fs::path& folder);  // not_found if there is none.
  void save(const fs::path& folder) const;
};

constexpr const char* kManifestFile = "manifest";

}  // namespace halogen::pageserver
