// password_checks.h: where passwords that clients give as they are get hashed: milliseconds of
// computing each, which no event loop has to spare.
//
// So many threads, of low priority, take turns among the endpoints; an endpoint for which too many
// wait already is refused more. So a flood of passwords for one hurts nobody else. One that was
// right before is known, and many that show the same at once wait for one check.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "postgres/scram.h"
#include "protocol/endpoints.h"
#include "proxy/auth/known_passwords.h"

namespace halogen::proxy {

class PasswordChecks {
 public:
  struct Options {
    int threads = 1;
    size_t max_waiting = 64;          // For one endpoint: a tenth of a second's work.
    size_t max_waiting_in_all = 512;  // About a second's.
    size_t max_known = 16'384;        // Right ones that are remembered.
  };
  using Done = std::function<void(Outcome<bool>)>;

  explicit PasswordChecks(Options options);
  // Answers those that wait with `cancelled`.
  ~PasswordChecks();
  PasswordChecks(const PasswordChecks&) = delete;
  PasswordChecks& operator=(const PasswordChecks&) = delete;

  // Calls `done` exactly once: from a thread of ours; or at once, if the password is known, or with
  // `unavailable` if too many wait.
  void check(const std::string& endpoint, scram::Verifier verifier, std::string password,
             Done done);

 private:
  struct Job {
    scram::Verifier verifier;
    std::string password;
    std::string digest;
  };

  bool admit(const std::string& endpoint, Job job, Done& done);
  void finish(const Job& job, Outcome<bool> outcome);
  std::optional<Job> next();
  void run();

  const Options options_;
  KnownPasswords known_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::deque<Job>> waiting_ GUARDED_BY(mutex_);  // None is empty.
  std::deque<std::string> turns_ GUARDED_BY(mutex_);                   // The keys of waiting_.
  // By digest: who wants to know of each job that waits or is being done.
  std::unordered_map<std::string, std::vector<Done>> asked_ GUARDED_BY(mutex_);
  size_t waiting_in_all_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace halogen::proxy
