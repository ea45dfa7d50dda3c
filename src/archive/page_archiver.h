// page_archiver.h: copies layer files to the store, then the manifest that names them; and removes
// what no manifest has named for a while.
//
// A timeline's manifest goes there only when the store has the WAL behind it, and all of its
// ancestor that it stands on: so what is read back fits together, whatever was the last to arrive.
//
// Threads: one calls found(), upload(), sweep() and remove_due(); the rest is for any.
#pragma once
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "archive/formats.h"
#include "archive/lease.h"
#include "archive/wal_archiver.h"
#include "base/deadline.h"
#include "base/mutex.h"
#include "objectstore/object_store.h"
#include "protocol/archived.h"

namespace halogen::archive {

class PageArchiver {
 public:
  struct Parts {
    objectstore::ObjectStore& store;
    ArchivedPages& source;
    WalArchiver& wal;
    const Lease& lease;
    std::chrono::milliseconds grace;  // For what nothing names any more.
  };

  explicit PageArchiver(Parts parts) : parts_(parts) {}

  // What was in the store when we came. Before the first upload().
  void found(TimelineId timeline, const ManifestKey& key);
  void found(TimelineId timeline, const LayerKey& key);

  // Brings the store to what the pageserver has of it now, under our generation. Throws conflict
  // if it has to wait for WAL or an ancestor, or the manifest is about to change; fenced. One at a
  // time.
  void upload(TimelineId timeline);
  // Timelines that are in the store and not in `wanted`, nor an ancestor of one that is, are to go.
  void sweep(const std::set<TimelineId>& wanted);
  // Removes what has been unnamed for the grace time.
  void remove_due();

  // Whether the store has a manifest of it.
  bool has(TimelineId timeline);
  // Up to where the layers in the store go. Zero: there are none.
  Lsn consistent(TimelineId timeline);
  // A layer that the manifest names which is in the store by us, or by this home before.
  std::optional<LayerCopy> copy_of(const LayerName& name);
  // Of layers that the timelines which are to be uploaded have and the store has not.
  uint64_t bytes_to_go() const { return bytes_to_go_; }

 private:
  struct State {
    std::vector<ManifestKey> manifests;     // That are in the store.
    std::set<LayerKey> layers;              // Likewise.
    std::optional<ArchivedManifest> now;    // The one that counts; read when it is first needed.
    std::map<uint64_t, ArchivedLayer> put;  // By us, and not named yet.
    bool known = false;                     // `now` was read, or there is none.
  };

  // Whose manifest in the store nobody else can replace.
  bool is_ours(const State& state) const REQUIRES(mutex_);
  State& state_of(TimelineId timeline) REQUIRES(mutex_) { return states_[timeline]; }
  void check_lease();
  void learn(TimelineId timeline);
  void upload_wal(TimelineId timeline);
  void require_foundation(TimelineId timeline, const StoredTimeline& stored);
  ArchivedLayer archive_layer(TimelineId timeline, const StoredTimeline::Layer& layer);
  ArchivedLayer put_layer(TimelineId timeline, const StoredTimeline::Layer& layer);
  void put_manifest(TimelineId timeline, ArchivedManifest manifest);
  void condemn_unnamed(TimelineId timeline) REQUIRES(mutex_);
  void condemn(const std::string& key) REQUIRES(mutex_);

  const Parts parts_;
  std::atomic<uint64_t> bytes_to_go_ = 0;
  steady_clock::time_point next_check_;  // Of the lease; only upload()'s thread.
  Mutex mutex_;                          // Never held across requests.
  std::map<TimelineId, State> states_ GUARDED_BY(mutex_);
  std::map<std::string, steady_clock::time_point> condemned_ GUARDED_BY(mutex_);
};

}  // namespace halogen::archive
