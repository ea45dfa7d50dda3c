// archived.h: what the archive, which copies all that is durable to the object store, asks of those
// who keep it, and what they ask of it. Every call may block and throw Error; all are safe from any
// thread.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/ids.h"
#include "base/lsn.h"
#include "protocol/layer_copy.h"

namespace halogen {

// A timeline of a pageserver, as its manifest on disk has it.
struct StoredTimeline {
  struct Layer {
    uint64_t id = 0;
    uint64_t bytes = 0;
    fs::path file;  // Never changes. May be missing where its note says what the store has.
  };

  std::optional<TimelineId> ancestor;
  Lsn ancestor_lsn;
  Lsn disk_consistent_lsn;  // All WAL up to here is in the layers.
  std::string manifest;     // The file's bytes.
  std::vector<Layer> layers;
  std::shared_ptr<const void> files;  // While this is held the layers' files stay.
};

class ArchivedPages {
 public:
  virtual ~ArchivedPages() = default;
  // All that are there, also those that cannot be opened.
  virtual std::vector<TimelineId> stored_timelines() = 0;
  // nullopt: its manifest is about to change; it will be told again. not_found.
  virtual std::optional<StoredTimeline> stored(TimelineId id) = 0;
};

// A timeline's WAL on a safekeeper.
struct StoredWal {
  uint64_t system_identifier = 0;
  Lsn start;    // Where this timeline's WAL begins.
  Lsn oldest;   // Nothing below is kept.
  Lsn flushed;  // All below is durable.
  uint64_t term = 0;
};

class ArchivedWal {
 public:
  virtual ~ArchivedWal() = default;
  virtual std::vector<TimelineId> wal_timelines() = 0;
  virtual StoredWal stored_wal(TimelineId id) = 0;
  // [from, to). gone if it is not kept any more, cancelled if it has been cut meanwhile.
  virtual std::string read_wal(TimelineId id, Lsn from, Lsn to) = 0;
};

// Told by those two as something becomes durable. None of it blocks.
class ArchiveNews {
 public:
  virtual ~ArchiveNews() = default;
  virtual void pages_changed(TimelineId id) = 0;
  virtual void wal_changed(TimelineId id) = 0;
  // What was durable behind `end` is WAL no more. Before anything else is written there.
  virtual void wal_cut(TimelineId id, Lsn end) = 0;
  // Below it WAL is in the archive's layers, and in no need to be kept for them.
  virtual Lsn archived_lsn(TimelineId id) = 0;
};

// Where layer files come back from that are no longer on the disk.
class LayerOrigin {
 public:
  virtual ~LayerOrigin() = default;
  // The layer's copy, if a manifest of this platform in the store names it, durably: then its file
  // may be removed. nullopt also while that is not known, and once another platform has taken the
  // store over. Makes no request.
  virtual std::optional<LayerCopy> copy_of(const LayerName& name) = 0;
  // Whether another platform has taken the store over, so that nothing in it is sure to stay.
  virtual bool is_lost() = 0;
  // Writes the copy to `file`, whole, checked and synced. `pause` is called now and then, and may
  // throw. not_found or corrupt: the store has not got it, or not as it was put; io: the disk here;
  // any other error: the store does not answer.
  virtual void fetch(const LayerName& name, const LayerCopy& copy, const fs::path& file,
                     const std::function<void()>& pause) = 0;
};

}  // namespace halogen
