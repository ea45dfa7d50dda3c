// reconcile.h: housekeeping that nobody asks for: lets safekeepers drop WAL that storage has made
// durable. One thread; every pass is harmless to repeat.
#pragma once
#include <functional>
#include <map>
#include <thread>

#include "base/ids.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "control/catalog.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

constexpr std::chrono::seconds kReconcileInterval{10};

class Reconcile {
 public:
  // `also` is done in each pass, too.
  Reconcile(
      Catalog& catalog, PageserverAdmin& pageserver, SafekeeperAdmin& safekeeper,
      std::function<void()> also = [] {})
      : catalog_(catalog),
        pageserver_(pageserver),
        safekeeper_(safekeeper),
        also_(std::move(also)) {}
  ~Reconcile() { stop(); }

  void start();
  void stop();
  // One pass; public for tests.
  void pass();

 private:
  void run();

  Catalog& catalog_;
  PageserverAdmin& pageserver_;
  SafekeeperAdmin& safekeeper_;
  const std::function<void()> also_;
  std::map<TimelineId, Lsn> trimmed_;  // Only the thread's.
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace halogen::control
