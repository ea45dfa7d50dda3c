// pageserver.h: all timelines of this process: made, found again after a restart, fed with WAL,
// read, deleted.
//
// On disk, under `home`:
//   timelines/<id>/manifest       the timeline exists from when this does (layers/manifest.h)
//   timelines/<id>/layers/        what the manifest names
//   timelines/<id>/wal_source     where its WAL comes from, if attached
//   timelines/<id>/boot_set       best effort
//   templates/<major>             the id of the template timeline; written last by the import
//   trash/<seconds>-<id>          folders that were never finished or could not be opened, kept for
//   a week
//
// Threads: any; the folder belongs to one Pageserver.
#pragma once
#include <map>
#include <memory>
#include <set>

#include "base/metric_sources.h"
#include "pageserver/follower.h"
#include "pageserver/page_service.h"
#include "protocol/archived.h"
#include "protocol/pageserver_admin.h"

namespace halogen::pageserver {

class Pageserver : public PageserverAdmin, public ArchivedPages {
 public:
  struct Options {
    fs::path home;
    std::string page_socket;  // A unix socket path.
    size_t page_cache_bytes = 64 << 20;
    size_t block_cache_bytes = 32 << 20;
    size_t index_cache_bytes = 16 << 20;
    uint64_t layer_memory_bytes = 512 << 20;  // Of all memory layers; see layer_memory.h.
    size_t flush_bytes = 64 << 20;  // Of WAL in memory per timeline, before it goes to a file.
    size_t merge_files = 8;         // See MergeRules.
    std::chrono::milliseconds history_interval{60000};  // How often horizons move on.
    size_t reader_threads = 2;                          // That help with batched reads.
    PageSessions::Limits page_limits{};
    bool asks_for_token = true;  // On the page service.
    Follower::Options following{};
    std::chrono::milliseconds stop_time{10000};  // For the last flush of all timelines.
    ArchiveNews* archive = nullptr;              // Where copies go; outlives it. Null: nowhere.
    LayerOrigin* origin = nullptr;               // Likewise: where they come back from.
    uint64_t local_layer_bytes = LocalLayers::kNoLimit;  // Of files that need not come from there.
  };

  // Opens what `home` holds; safekeepers that have WAL which is not here are followed. `redo` must
  // outlive it.
  Pageserver(Options options, Redo& redo);
  // As stop().
  ~Pageserver() override;

  // Ends the page service and WAL, writes what is in memory to files, within stop_time. What does
  // not get there comes from the safekeepers again. No other call may be running or follow.
  void stop();

  void import_template(int major, const fs::path& data_directory, Lsn lsn) override;
  TimelineInfo template_timeline(int major) override;
  void create_timeline(TenantId tenant, TimelineId id, TimelineId ancestor, Lsn lsn,
                       Deadline deadline) override;
  void delete_timeline(TimelineId id) override;
  TimelineInfo timeline(TimelineId id) override;
  std::vector<TimelineInfo> timelines() override;
  std::vector<TimelineInfo> timelines_of(TenantId tenant) override;
  Lsn disk_consistent_lsn(TimelineId id) override;
  Moment moment_at(TimelineId id, Lsn lsn) override;
  Moment moment_at_time(TimelineId id, int64_t time) override;
  void attach_wal(TimelineId id, const std::string& host, int port) override;
  void wait_for_lsn(TimelineId id, Lsn lsn, Deadline deadline) override;
  Skeleton skeleton(TimelineId id, Lsn lsn, Deadline deadline) override;
  PageToken open_session(TimelineId id, uint64_t term, Lsn lsn) override;
  Lsn advance_session(const PageToken& token) override;
  void close_session(const PageToken& token) override;
  std::string page_service_socket() override { return options_.page_socket; }
  void put_file(TimelineId id, Lsn lsn, const std::string& path, std::string content) override;
  std::string read_page(TimelineId id, const PageKey& key, Lsn lsn, Deadline deadline) override;
  void flush(TimelineId id, Deadline deadline) override;
  void set_history_retention(TenantId tenant, std::chrono::seconds retention) override;
  Moment earliest_moment(TimelineId id) override;

  std::vector<TimelineId> stored_timelines() override;
  std::optional<StoredTimeline> stored(TimelineId id) override {
    return find(id)->timeline->store().stored();
  }

  // Whether its files are being merged, for tests.
  bool merging(TimelineId id) const { return find(id)->timeline->store().merging(); }

  struct Counts {
    size_t timelines = 0;
    size_t awake = 0;  // Of these; the others are at rest.
  };
  Counts counts() const EXCLUDES(mutex_);

  // What takes memory by the megabyte, in bytes.
  struct Memory {
    uint64_t pages = 0;    // Rebuilt ones.
    uint64_t blocks = 0;   // Of layer files.
    uint64_t indexes = 0;  // Of open layer files.
    uint64_t layers = 0;   // WAL that is not in files yet.
    uint64_t total() const { return pages + blocks + indexes + layers; }
  };
  Memory memory() const;
  // nullopt: there is no object store, and all files are here.
  std::optional<LocalLayers::Status> local_layers() const;
  // Gives up files that the object store has, of about so many bytes: the disk is full.
  void drop_layers(uint64_t bytes);

 private:
  // A timeline and where its WAL comes in. The follower ends before the timeline.
  struct Branch {
    Branch(std::shared_ptr<Timeline> timeline, const Follower::Options& following)
        : timeline(std::move(timeline)), follower(*this->timeline, following) {}
    const std::shared_ptr<Timeline> timeline;
    Follower follower;
  };
  using BranchPtr = std::shared_ptr<Branch>;
  class Reservation;

  fs::path folder_of(TimelineId id) const { return options_.home / "timelines" / id.str(); }
  void load_templates();
  void load_timelines();
  void keep_named(const std::map<TimelineId, Manifest>& manifests,
                  std::set<TimelineId>& unfinished);
  void discard(TimelineId id, std::string_view why);
  BranchPtr load_timeline(TimelineId id, std::map<TimelineId, Manifest>& manifests);
  void attach_known();
  std::shared_ptr<const WalSource> wal_source(const std::string& host, int port) EXCLUDES(mutex_);
  std::shared_ptr<const TimelineStore::Options> make_store_options() const;
  BranchPtr open_branch(const fs::path& folder, const BranchPtr& ancestor);
  BranchPtr make_branch(const Manifest& manifest);
  void remove_folder(TimelineId id);
  void remove_unopened(TimelineId id);

  // Follows its WAL, until the housekeeper finds that there is nothing to do for it.
  void wake(TimelineId id, const BranchPtr& branch) EXCLUDES(mutex_);
  // Wakes it, and its ancestors, where WAL up to `lsn` has yet to arrive.
  void wake_for(TimelineId id, BranchPtr branch, Lsn lsn) EXCLUDES(mutex_);
  void keep_house();

  BranchPtr find(TimelineId id) const EXCLUDES(mutex_);
  bool is_template(TimelineId id) const EXCLUDES(mutex_);
  bool has_children(TimelineId id) const REQUIRES(mutex_);

  // pageserver_history.cc: forgets what is older than the projects' windows.
  void keep_history_bounded();
  void bound_history(TimelineId id, const BranchPtr& branch) EXCLUDES(mutex_);
  std::vector<Lsn> points_of(TimelineId id) const REQUIRES(mutex_);
  // When a timeline's horizon is to be looked for again. Most timelines are at rest.
  struct HorizonCheck {
    std::chrono::seconds retention{0};
    Lsn end;  // last_record_lsn, then.
    steady_clock::time_point due;
  };
  void add_hot_pages(Timeline& timeline, Skeleton& skeleton, Deadline deadline);
  enum class Logical { read, if_known };
  TimelineInfo describe(Branch& branch, Logical logical);
  std::vector<TimelineInfo> describe_all(const std::function<bool(const Branch&)>& wanted);

  const Options options_;
  Redo& redo_;
  std::shared_ptr<LayerCache> layer_cache_;
  std::shared_ptr<LayerMemory> layer_memory_;
  std::shared_ptr<LocalLayers> local_layers_;
  std::shared_ptr<const TimelineStore::Options> store_options_;  // Of all timelines.
  PageCache page_cache_;
  JobPool jobs_;

  mutable Mutex mutex_;
  std::map<TimelineId, BranchPtr> branches_ GUARDED_BY(mutex_);
  // Being made or deleted; with the ancestor that must stay meanwhile, and where it is read.
  struct Reserved {
    std::optional<TimelineId> ancestor;
    Lsn ancestor_lsn;
  };
  std::map<TimelineId, Reserved> reserved_ GUARDED_BY(mutex_);
  std::map<TenantId, std::chrono::seconds> retention_ GUARDED_BY(mutex_);
  std::map<int, TimelineId> templates_ GUARDED_BY(mutex_);
  std::map<TimelineId, BranchPtr> awake_ GUARDED_BY(mutex_);
  std::shared_ptr<const WalSource> last_wal_source_ GUARDED_BY(mutex_);
  CondVar woken_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool stopped_ = false;

  std::map<TimelineId, HorizonCheck> horizon_checks_;  // Only the historian's.

  metrics::Registration metrics_;
  std::unique_ptr<PageService> page_service_;
  std::thread housekeeper_;
  std::thread historian_;
};

}  // namespace halogen::pageserver
