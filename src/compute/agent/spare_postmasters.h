// spare_postmasters.h: postmasters that were executed ahead of need.
//
// Executing stock Postgres costs a good part of a start: some forty libraries, a thousand page
// faults. None of it depends on the compute, so a spare one waits in the shim's constructor,
// before main(), for its data directory. It ends when the platform does, or when dropped.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "compute/agent/quiet_worker.h"
#include "compute/agent/room.h"
#include "compute/agent/supervisor.h"

namespace halogen::compute {

// One that waits, in its room. Both go with this, unless taken out.
class SparePostmaster {
 public:
  SparePostmaster(Supervisor& supervisor, const fs::path& program, const RoomPlaces& places);
  ~SparePostmaster();
  SparePostmaster(const SparePostmaster&) = delete;
  SparePostmaster& operator=(const SparePostmaster&) = delete;

  // False if it has ended, or if the package was upgraded meanwhile.
  bool usable() const;
  // Hands over the waiting process, for Child::release().
  std::shared_ptr<Child> take() { return std::move(child_); }
  std::shared_ptr<const Room> room() const { return room_; }

 private:
  const fs::path program_;
  const fs::file_time_type made_;  // The program, when it was executed.
  const std::shared_ptr<const Room> room_;
  std::shared_ptr<Child> child_;
};

// Keeps one of the major version used last. Safe from any thread.
class SparePostmasters {
 public:
  // The supervisor outlives this.
  SparePostmasters(Supervisor& supervisor, RoomPlaces places);

  // Throws unavailable if this Postgres is not installed, io.
  std::unique_ptr<SparePostmaster> take(int major);
  // Waits until one waits; for tests.
  void settle() { worker_.settle(); }

 private:
  std::unique_ptr<SparePostmaster> make(int major);
  void refill(int major);

  Supervisor& supervisor_;
  const RoomPlaces places_;
  Mutex mutex_;
  std::unique_ptr<SparePostmaster> spare_ GUARDED_BY(mutex_);
  int major_ GUARDED_BY(mutex_) = 0;
  QuietWorker worker_{"hg-spares"};  // Last: its jobs use the rest.
};

}  // namespace halogen::compute
