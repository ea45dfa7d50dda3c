// operations.h: runs what may take longer than a request waits. An operation is in the catalog,
// running, before its first step, and over in the catalog after its last one.
//
// After a crash nothing of it runs on: Projects::finish_interrupted() takes back what was being
// made and completes what was being deleted, and tells so in the operation.
//
// Threads: any. Requires: what `work` uses outlives stop().
#pragma once
#include <chrono>
#include <functional>

#include "control/catalog.h"
#include "control/jobs.h"

namespace halogen::control {

class Operations {
 public:
  struct Options {
    Catalog& catalog;
    // How long a caller waits for the end. Almost everything is over by then.
    std::chrono::milliseconds patience{2000};
    size_t threads = 8;
  };
  explicit Operations(const Options& options) : options_(options), jobs_(options.threads) {}

  // Runs `work` on a thread of ours. Returns the operation as it is when it is over, or patience at
  // its end. What `work` throws before that, this throws; later it is in the operation.
  // Requires: the catalog has the operation, running.
  Operation run(Operation operation, std::function<void()> work);
  // Waits for what runs; what comes later is not begun.
  void stop() { jobs_.stop(); }

 private:
  const Options options_;
  Jobs jobs_;
};

// One that begins now, running; not yet in the catalog.
Operation new_operation(const Branch& branch, const std::string& endpoint_id,
                        const std::string& action);

}  // namespace halogen::control
