// timeline.h: one branch's history: answers reads at an LSN out of its store, with redo, a cache
// and a few helping threads.
//
// Threads: any may read. The parts are shared by all timelines and outlive them.
#pragma once
#include <memory>
#include <vector>

#include "base/ids.h"
#include "pageserver/boot_set.h"
#include "pageserver/job_pool.h"
#include "pageserver/layers/timeline_store.h"
#include "pageserver/page_cache.h"
#include "pageserver/redo/redo.h"

namespace halogen::pageserver {

class Timeline {
 public:
  struct Parts {
    Redo& redo;
    PageCache& cache;
    JobPool& jobs;
  };

  // Opens the timeline in `folder`.
  Timeline(Parts parts, std::shared_ptr<const TimelineStore::Options> store_options,
           const fs::path& folder, std::shared_ptr<Timeline> ancestor);
  // Drops what is in memory: flush the store first to keep it.
  ~Timeline();
  Timeline(const Timeline&) = delete;
  Timeline& operator=(const Timeline&) = delete;

  TimelineId id() const { return store_->timeline(); }
  TenantId tenant() const { return store_->tenant(); }
  int major() const { return static_cast<int>(store_->major()); }  // Of PostgreSQL.
  const std::shared_ptr<Timeline>& ancestor() const { return ancestor_; }
  TimelineStore& store() { return *store_; }
  const TimelineStore& store() const { return *store_; }
  // The oldest LSN that can be read, here or below the branch point.
  Lsn oldest_lsn() const { return store_->oldest_readable(); }
  BootSet boot_set() const { return BootSet(store_->folder() / "boot_set"); }
  // Its own boot set, or what it inherits until it has one.
  std::vector<PageKey> hot_page_keys();

  // The page as of `lsn`, once WAL reaches it; zeros past its relation's end, and if there never
  // was such a page. 8192 bytes. Throws timed_out, gone, corrupt, unavailable, cancelled.
  std::string read_page(const PageKey& key, Lsn lsn, Deadline deadline);
  // Many pages, one after another in the result.
  std::string read_pages(const std::vector<PageKey>& keys, Lsn lsn, Deadline deadline);
  // The same, without a copy of what the page cache holds; null where there never was a page.
  std::vector<PagePtr> share_pages(const std::vector<PageKey>& keys, Lsn lsn, Deadline deadline);

 private:
  void wait_for(Lsn lsn, Deadline deadline) const;
  // Calls take(index, page) for each of them, from several threads.
  template <typename Take>
  void each_page(const std::vector<PageKey>& keys, Lsn lsn, Deadline deadline, Take take);
  bool past_end(const PageKey& key, Lsn lsn);
  PagePtr read_arrived(const PageKey& key, Lsn lsn, Deadline deadline);
  void remember(const PageKey& key, const PagePtr& page);
  PagePtr cached(const PageKey& key, Lsn lsn) const;
  // Whose history a version at `lsn` belongs to: branches share what they share.
  const Timeline& owner(Lsn lsn) const;
  // Of the oldest ancestor: before it nothing ever was.
  Lsn first_lsn() const;

  const Parts parts_;
  const std::shared_ptr<Timeline> ancestor_;
  const uint64_t number_;
  const std::shared_ptr<TimelineStore> store_;
};

}  // namespace halogen::pageserver
