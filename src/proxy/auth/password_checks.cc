#include "proxy/auth/password_checks.h"

#include <sys/resource.h>

namespace halogen::proxy {
namespace {

constexpr int kNiceness = 5;

}  // namespace

PasswordChecks::PasswordChecks(Options options) : options_(options) {
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
  for (auto& [endpoint, jobs] : waiting_)
    for (Job& job : jobs) job.done({.error = Error(Errc::cancelled, "stopping")});
}

void PasswordChecks::check(const std::string& endpoint, scram::Verifier verifier,
                           std::string password, Done done) {
  Job job{std::move(verifier), std::move(password), std::move(done)};
  if (admit(endpoint, job)) return;
  job.done({.error = Error(Errc::unavailable, "too many passwords are being checked")});
}

// Takes the job, or leaves it.
bool PasswordChecks::admit(const std::string& endpoint, Job& job) {
  MutexLock lock(mutex_);
  auto found = waiting_.find(endpoint);
  size_t before = found == waiting_.end() ? 0 : found->second.size();
  if (stopping_ || before >= options_.max_waiting || waiting_in_all_ >= options_.max_waiting_in_all)
    return false;
  if (before == 0) turns_.push_back(endpoint);
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
  while (std::optional<Job> job = next())
    job->done({.value = scram::check_password(job->verifier, job->password)});
}

}  // namespace halogen::proxy
