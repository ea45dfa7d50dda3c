#include "proxy/auth/password_checks.h"

#include <sys/resource.h>

namespace halogen::proxy {
namespace {

constexpr int kNiceness = 5;

}  // namespace

PasswordChecks::PasswordChecks(Options options) : options_(options), known_(options.max_known) {
  for (int i = 0; i < options_.threads; i++) threads_.emplace_back([this] { run(); });
}

PasswordChecks::~PasswordChecks() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  MutexLock lock(mutex_);
  for (auto& [digest, asked] : asked_)
    for (Done& done : asked) done({.error = Error(Errc::cancelled, "stopping")});
}

void PasswordChecks::check(const std::string& endpoint, scram::Verifier verifier,
                           std::string password, Done done) {
  std::string digest = known_.digest(verifier, password);
  if (known_.contains(digest)) return done({.value = true});
  if (admit(endpoint, {std::move(verifier), std::move(password), std::move(digest)}, done)) return;
  done({.error = Error(Errc::unavailable, "too many passwords are being checked")});
}

// Takes the job and `done`, or leaves both.
bool PasswordChecks::admit(const std::string& endpoint, Job job, Done& done) {
  MutexLock lock(mutex_);
  auto same = asked_.find(job.digest);
  if (same != asked_.end() && !stopping_) {
    same->second.push_back(std::move(done));
    return true;
  }
  auto found = waiting_.find(endpoint);
  size_t before = found == waiting_.end() ? 0 : found->second.size();
  if (stopping_ || before >= options_.max_waiting || waiting_in_all_ >= options_.max_waiting_in_all)
    return false;
  if (before == 0) turns_.push_back(endpoint);
  asked_[job.digest].push_back(std::move(done));
  waiting_[endpoint].push_back(std::move(job));
  waiting_in_all_++;
  changed_.notify_one();
  return true;
}

// nullopt: we are to end.
std::optional<PasswordChecks::Job> PasswordChecks::next() {
  MutexLock lock(mutex_);
  while (turns_.empty() && !stopping_) changed_.wait(mutex_);
  if (stopping_) return std::nullopt;
  std::string endpoint = std::move(turns_.front());
  turns_.pop_front();
  auto queue = waiting_.find(endpoint);
  Job job = std::move(queue->second.front());
  queue->second.pop_front();
  waiting_in_all_--;
  if (queue->second.empty())
    waiting_.erase(queue);
  else
    turns_.push_back(std::move(endpoint));
  return job;
}

void PasswordChecks::run() {
  ::setpriority(PRIO_PROCESS, 0, kNiceness);  // On Linux, of this thread alone.
  while (std::optional<Job> job = next()) {
    bool right = scram::check_password(job->verifier, job->password);
    if (right) known_.add(job->digest);
    finish(*job, {.value = right});
  }
}

void PasswordChecks::finish(const Job& job, Outcome<bool> outcome) {
  std::vector<Done> asked;
  {
    MutexLock lock(mutex_);
    auto found = asked_.find(job.digest);
    asked = std::move(found->second);
    asked_.erase(found);
  }
  for (Done& done : asked) done(outcome);
}

}  // namespace halogen::proxy
