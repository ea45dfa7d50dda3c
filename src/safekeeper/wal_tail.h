// wal_tail.h: follows the log of a compute that writes it in place.
//
// Postgres writes and syncs the timeline's segments itself, by names that they have in its pg_wal;
// no commit waits for anything here. The tail makes room ahead (a writer beyond it waits, in the
// shim), and takes into the log what is complete and on disk: record by record, each checked. What
// the compute says (InPlaceWal) is where to look and when; it cannot make the tail read outside of
// the room, work without end, wait, or fail.
//
// Threads: one, started by the constructor; catch_up() from any. Asleep unless there is news, and
// at most one round each kPause.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/mutex.h"
#include "protocol/in_place_wal.h"
#include "protocol/safekeeper_admin.h"
#include "safekeeper/inflow.h"
#include "safekeeper/wal_store.h"

namespace halogen::safekeeper {

class WalTail final : public Inflow {
 public:
  struct Options {
    std::string name;  // For the log.
    UniqueFd folder;   // The compute's pg_wal.
    // Told why WAL does not come, for an operator; an empty text when it does.
    std::function<void(const std::string& why)> set_problem;
  };

  // Becomes the store's writer. Throws io.
  WalTail(Options options, WalStore& store);
  // Takes all that is complete; behind it the log ends. Requires that the compute has ended, or
  // counts no more.
  ~WalTail() override;

  InPlaceAccess access() const;
  void catch_up() override EXCLUDES(round_mutex_);

 private:
  // What was found written and is not known to be synced.
  struct Pending {
    Lsn end;
    uint64_t begun;
  };

  void run();
  bool news() const;
  // Returns false if `milliseconds` (-1: no bound) have passed.
  bool wait_for_news(int milliseconds);
  bool rest(std::chrono::nanoseconds time);
  void round(bool force) REQUIRES(round_mutex_);
  void give_room(Lsn room) REQUIRES(round_mutex_);
  // What the page says, within reason.
  Lsn written() const;
  Lsn wanted() const;
  void report(const Error& error);
  void finish();

  const Options options_;
  WalStore& store_;
  UniqueFd page_fd_;
  UniqueFd news_;
  UniqueFd stop_;
  UniqueFd poll_;
  std::unique_ptr<InPlaceWal, void (*)(InPlaceWal*)> page_;

  Mutex round_mutex_;  // Held across I/O: one round at a time.
  std::optional<RecordPlace> found_ GUARDED_BY(round_mutex_);
  std::optional<Pending> pending_ GUARDED_BY(round_mutex_);
  Lsn next_link_ GUARDED_BY(round_mutex_);
  std::chrono::nanoseconds worked_ GUARDED_BY(round_mutex_){
      0};                                    // What the last round's reading took.
  Lsn look_again_ GUARDED_BY(round_mutex_);  // A long record: not before this is written.

  // Of the page, as the last round has seen it.
  std::atomic<uint64_t> seen_begun_ = 0;
  std::atomic<uint64_t> seen_synced_ = 0;
  std::atomic<uint64_t> room_ = 0;
  std::atomic<bool> unsettled_ = false;
  std::atomic<uint64_t> end_ = 0;  // Of what has been taken.
  std::string reported_;           // The thread's own.
  std::thread thread_;
};

}  // namespace halogen::safekeeper
