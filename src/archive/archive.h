// archive.h: copies all that is durable to an object store, in the background: layer files and
// manifests, WAL within seconds, the catalog after each change. Nothing waits for it.
//
// Threads: two of its own. One has WAL and the catalog, which are small and urgent, the other layer
// files. Both try again for ever, with growing pauses, while the store is away.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "archive/dirty_set.h"
#include "archive/secrets.h"
#include "base/deadline.h"
#include "base/error.h"
#include "base/metric_sources.h"
#include "base/mutex.h"
#include "objectstore/retrying_store.h"
#include "protocol/archived.h"

namespace halogen::archive {

class PageArchiver;
class WalArchiver;
class Lease;

// The catalog, as the archive needs it. Called by two threads.
struct CatalogSource {
  std::function<bool()> changed;                    // Since the last image().
  std::function<std::string()> image;               // A whole copy.
  std::function<std::set<TimelineId>()> timelines;  // Which it names.
  std::function<std::set<TimelineId>()> ready;      // Of these, those of branches that are ready.
  std::function<SecretFiles()> secrets;             // What goes with it, sealed.
};

class Archive : public ArchiveNews, public LayerOrigin {
 public:
  struct Options {
    std::shared_ptr<objectstore::ObjectStore> store;  // Without retries of its own.
    std::string home;                                 // See Lease.
    std::string passphrase;                           // Seals secrets; empty: they stay here.
    std::chrono::milliseconds interval{2000};         // Between two copies of one timeline's WAL.
    // How long a catalog waits for the branches that it names. One that cannot be copied must not
    // keep all others' changes back.
    std::chrono::milliseconds catalog_patience{10'000};
    std::chrono::milliseconds grace{600'000};  // Before what nothing names is removed.
    std::chrono::milliseconds sweep_interval{60'000};
    std::chrono::milliseconds longest_pause{30'000};  // Between two attempts.
  };

  // Nothing runs before start().
  explicit Archive(Options options);
  ~Archive() override;

  void start(ArchivedPages& pages, ArchivedWal& wal, CatalogSource catalog);
  // Goes on until all is there, or the deadline; then ends.
  void stop(Deadline deadline);

  void pages_changed(TimelineId id) override;
  void wal_changed(TimelineId id) override;
  void wal_cut(TimelineId id, Lsn end) override;
  Lsn archived_lsn(TimelineId id) override;

  std::optional<LayerCopy> copy_of(const LayerName& name) override;
  bool is_lost() override;
  void fetch(const LayerName& name, const LayerCopy& copy, const fs::path& file,
             const std::function<void()>& pause) override;

  struct Status {
    std::string store;
    std::string state;       // running, starting, away, refused, fenced
    std::string problem;     // Why it is not running; or empty.
    double lag_seconds = 0;  // Since when the oldest that is not there was durable here.
    uint64_t lag_bytes = 0;  // Of layer files that are being copied.
    size_t waiting = 0;      // Timelines with something that is not there.
    bool seals_secrets = false;
  };
  Status status() const EXCLUDES(mutex_);
  // For people, one line.
  std::string describe() const;

 private:
  struct Work;
  // One of the two threads' state of affairs.
  struct Health {
    std::string state = "starting";
    std::string problem{};
    std::chrono::milliseconds pause{0};  // Before the next attempt.
    uint64_t rounds = 0;                 // That succeeded.
  };

  enum class Kind { quick, bulk };
  void run(Kind kind);
  // Once with success. Throws what is the store's problem.
  void round(Kind kind);
  void attach();
  void quick_round(Work& work);
  void bulk_round(Work& work);
  void copy_wal(Work& work);
  // Throws what is the store's problem.
  void copy_wal_of(Work& work, TimelineId id, steady_clock::time_point since);
  void copy_catalog(Work& work);
  // Throws conflict while one of a branch that is ready is neither in the store nor damaged.
  void require_timelines(Work& work) const;
  void copy_secrets(Work& work);
  // Catalogs and secrets of generations before ours, which has its own.
  void remove_older(Work& work);
  // Whether some have to wait for others, and something went on.
  bool copy_pages(Work& work);
  void sweep(Work& work);
  Health& health(Kind kind) REQUIRES(mutex_) { return kind == Kind::quick ? quick_ : bulk_; }
  void note_success(Kind kind) EXCLUDES(mutex_);
  void note_failure(Kind kind, const Error& error) EXCLUDES(mutex_);
  // False: it is time to end.
  bool wait_for_next(Kind kind) EXCLUDES(mutex_);
  bool all_is_there() const;
  std::shared_ptr<Work> work() const EXCLUDES(mutex_);
  std::vector<metrics::Family> families() const;

  const Options options_;
  objectstore::RetryingStore store_;
  objectstore::RetryingStore reading_;  // For reads that wait: they hear soon that it is away.
  ArchivedPages* pages_ = nullptr;
  ArchivedWal* wal_ = nullptr;
  CatalogSource catalog_;
  DirtySet dirty_wal_;
  DirtySet dirty_pages_;
  DirtySet dirty_catalog_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool finishing_ GUARDED_BY(mutex_) = false;  // As fast as it goes.
  Health quick_ GUARDED_BY(mutex_);
  Health bulk_ GUARDED_BY(mutex_);
  bool lost_ GUARDED_BY(mutex_) = false;           // Another platform has taken the store over.
  std::shared_ptr<Work> work_ GUARDED_BY(mutex_);  // From when the lease is taken.
  std::string secrets_there_;                      // What was sealed last; the quick thread's.
  bool older_removed_ = false;                     // Likewise.
  steady_clock::time_point next_check_;            // Of the lease; the quick thread's.
  steady_clock::time_point next_sweep_;            // The bulk thread's.
  metrics::Registration metrics_;
  std::thread quick_thread_;
  std::thread bulk_thread_;
};

}  // namespace halogen::archive
