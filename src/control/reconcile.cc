#include "control/reconcile.h"

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {
const log::Logger logger("control");
}

void Reconcile::start() {
  thread_ = std::thread([this] { run(); });
}

void Reconcile::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Reconcile::run() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      auto until = steady_clock::now() + kReconcileInterval;
      while (!stopping_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
      if (stopping_) return;
    }
    try {
      pass();
    } catch (const Error& error) {
      logger.error("housekeeping: {}", error.what());
    }
  }
}

void Reconcile::pass() {
  also_();
  for (const Branch& branch : catalog_.all_branches()) {
    if (branch.state != "ready") continue;
    try {
      Lsn durable = pageserver_.disk_consistent_lsn(branch.timeline);
      Lsn& trimmed = trimmed_[branch.timeline];
      if (durable <= trimmed) continue;
      safekeeper_.trim(branch.timeline, durable);
      trimmed = durable;
    } catch (const Error& error) {
      // A branch deleted under us is no news.
      if (error.code() != Errc::not_found)
        logger.warn("{}: its WAL could not be trimmed: {}", branch.id, error.what());
    }
  }
}

}  // namespace halogen::control
