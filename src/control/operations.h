// operations.h: runs what may take longer than a request waits. An operation is in the catalog,
// running, with the first change that it makes, and over in the catalog with its last one.
//
// After a crash nothing of it runs on by itself: Projects::finish_interrupted() takes back what was
// being made and completes what was being deleted, RolesAndDatabases::go_on() goes on with changes
// of roles and databases, and both tell so in the operation.
//
// Threads: any. Jobs run on a pool where projects take turns, so that those of one whose computes
// are stuck hold up no other's. Requires: what `work` uses outlives stop().
#pragma once
#include <chrono>
#include <functional>

#include "control/catalog.h"
#include "control/fair_jobs.h"

namespace halogen::control {

class Operations {
 public:
  struct Options {
    Catalog& catalog;
    // How long a caller waits for the end. Almost everything is over by then.
    std::chrono::milliseconds patience{2000};
    FairJobs::Options jobs{};
  };
  explicit Operations(const Options& options) : options_(options), jobs_(options.jobs) {}

  // Runs `work` on a thread of ours. Returns the operation as it is when it is over, or, with its
  // patience at an end, running. What `work` throws before that, this throws; later it is in the
  // operation. Requires: the catalog has the operation, or `work` records it with its first change.
  // So what is refused before any change leaves no operation behind.
  Operation run(const Operation& operation, std::function<void()> work);
  // Goes on with one that an earlier life of this program began, and does not wait.
  void go_on(const Operation& operation, std::function<void()> work);
  // Waits for what runs; what comes later is not begun.
  void stop() { jobs_.stop(); }

 private:
  struct Ending;
  void begin(const Operation& operation, std::function<void()> work,
             const std::shared_ptr<Ending>& ending);

  const Options options_;
  FairJobs jobs_;
};

// One that begins now, running; not yet in the catalog.
Operation new_operation(const Branch& branch, const std::string& endpoint_id,
                        const std::string& action);

}  // namespace halogen::control
