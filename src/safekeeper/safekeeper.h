// safekeeper.h: the service: all timelines of one home folder, and the WAL server.
//
// A timeline is opened, and verified, when it is first asked for, and closed when it has been of no
// use for a while: at rest it costs its id, no file descriptor and no thread.
//
// Threads: every call is safe from any. A background thread allocates room on disk ahead of the
// writers and saves how far they are; each pull and each reader has its own thread.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/mutex.h"
#include "protocol/archived.h"
#include "protocol/safekeeper_admin.h"
#include "safekeeper/timeline.h"
#include "safekeeper/wal_access.h"
#include "safekeeper/wal_server.h"

namespace halogen::safekeeper {

class Safekeeper final : public SafekeeperAdmin, public ArchivedWal {
 public:
  struct Options {
    fs::path home;              // One folder per timeline; created if missing.
    std::string socket_folder;  // Created if missing. Its path must be short: see kMaxUnixPath.
    int port = 5454;            // The socket is <socket_folder>/.s.PGSQL.<port>.
    bool asks_for_token = true;
    std::chrono::milliseconds close_after{60000};  // A timeline that nobody writes or reads.
    ArchiveNews* archive = nullptr;                // Where copies go; outlives it. Null: nowhere.
    // For tests: see WalStore::Options.
    std::function<void(std::string_view step)> hook;
  };

  // Finds the timelines in `home`. One that turns out not to be readable is logged as an ERROR, and
  // every call for it throws `corrupt`; the others are served.
  explicit Safekeeper(Options options);
  ~Safekeeper() override;

  void create_timeline(TimelineId id, Lsn start, uint64_t system_identifier) override;
  void delete_timeline(TimelineId id) override;
  TermStart begin_term(TimelineId id, uint64_t term) override;
  void pull(TimelineId id, uint64_t term, const WalSource& source) override;
  InPlaceAccess write_in_place(TimelineId id, uint64_t term, UniqueFd folder) override;
  void stop_pull(TimelineId id, uint64_t term) override;
  WalStatus status(TimelineId id) override;
  Lsn catch_up(TimelineId id) override;
  void wait_for_flush(TimelineId id, Lsn lsn, Deadline deadline) override;
  void trim(TimelineId id, Lsn lsn) override;
  std::string wal_host() override { return options_.socket_folder; }
  int wal_port() override { return options_.port; }
  Token grant_wal(TimelineId id, WalConsumer consumer) override;
  std::vector<TimelineId> wal_timelines() override EXCLUDES(mutex_);
  StoredWal stored_wal(TimelineId id) override EXCLUDES(mutex_);
  std::string read_wal(TimelineId id, Lsn from, Lsn to) override;
  // How far a timeline's WAL is flushed, without opening it. At rest after a crash it may be more.
  Lsn known_end(TimelineId id) EXCLUDES(mutex_);
  size_t open_timelines() EXCLUDES(mutex_);

 private:
  struct Slot {
    std::shared_ptr<Timeline> timeline{};  // Null while it is at rest.
    bool changing = false;                 // Being opened, closed or deleted: wait for changed_.
    // Why it cannot be opened, once that has been tried; else null.
    std::unique_ptr<const std::string> broken{};
    steady_clock::time_point used{};
  };

  std::shared_ptr<Timeline> find(TimelineId id) EXCLUDES(mutex_);
  // Null: there is none.
  Slot* wait_for_slot(TimelineId id) REQUIRES(mutex_);
  fs::path folder_of(TimelineId id) const { return options_.home / id.str(); }
  std::shared_ptr<Timeline> open(TimelineId id);
  std::shared_ptr<Timeline> open_slot(TimelineId id) REQUIRES(mutex_);
  void close_idle() EXCLUDES(mutex_);
  bool nothing_to_trim(TimelineId id, Lsn lsn) EXCLUDES(mutex_);
  std::shared_ptr<Timeline> open_for_reader(TimelineId id, const std::optional<Token>& token);
  void find_all();
  void want_space(TimelineId id) EXCLUDES(mutex_);
  void want_save(TimelineId id) EXCLUDES(mutex_);
  void tell_archive(TimelineId id) const;
  std::shared_ptr<Timeline> wait_for_work(bool* save) EXCLUDES(mutex_);
  bool stopping() EXCLUDES(mutex_);
  void background_loop();

  const Options options_;
  Mutex create_mutex_;  // One creation or deletion at a time, I/O included.
  Mutex mutex_;
  CondVar changed_;
  std::map<TimelineId, Slot> timelines_ GUARDED_BY(mutex_);
  std::set<TimelineId> open_ GUARDED_BY(mutex_);
  steady_clock::time_point next_close_ GUARDED_BY(mutex_);
  std::deque<TimelineId> need_space_ GUARDED_BY(mutex_);
  std::deque<std::pair<steady_clock::time_point, TimelineId>> need_save_ GUARDED_BY(mutex_);
  CondVar work_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread background_;
  WalAccess access_;
  std::unique_ptr<WalServer> server_;
};

}  // namespace halogen::safekeeper
