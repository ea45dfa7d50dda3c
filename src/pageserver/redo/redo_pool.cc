#include "pageserver/redo/redo_pool.h"

#include <signal.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pageserver/redo/redo_directory.h"
#include "pageserver/redo/redo_request.h"
#include "protocol/redo_protocol.h"

namespace halogen::pageserver {
namespace {

const log::Logger logger("redo");

constexpr auto kStartTimeout = std::chrono::seconds(10);
constexpr auto kStartRetry = std::chrono::seconds(1);
constexpr auto kSpareDelay = std::chrono::seconds(1);  // What brings work, a wake, comes first.
constexpr int kAttempts = 3;  // Its own process and a spare may have died while idle.
constexpr std::string_view kDirectoryPrefix = "redo-";

metrics::Counter pages_total =
    metrics::counter("halogen_redo_pages_total", "Pages rebuilt by redo processes.");
metrics::Counter records_total =
    metrics::counter("halogen_redo_records_total", "WAL records given to redo processes.");
metrics::Counter deaths_total = metrics::counter("halogen_redo_process_deaths_total",
                                                 "Redo processes that failed, died or overran.");

void ignore_sigpipe() {
  struct sigaction now = {};
  sigaction(SIGPIPE, nullptr, &now);
  if (now.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

void remove_leftovers(const fs::path& scratch) {
  for (const auto& entry : fs::directory_iterator(scratch))
    if (entry.path().filename().string().starts_with(kDirectoryPrefix))
      remove_redo_directory(entry.path());
}

}  // namespace

class RedoPool::OfTenant final : public Redo {
 public:
  OfTenant(RedoPool& pool, TenantId tenant) : pool_(pool), tenant_(tenant) {}
  std::string replay(const PageKey& key, std::optional<Bytes> base,
                     std::span<const RedoRecord> records, Deadline deadline) override {
    return pool_.replay_for(tenant_, key, base, records, deadline);
  }

 private:
  RedoPool& pool_;
  const TenantId tenant_;
};

RedoPool::RedoPool(Options options) : options_(std::move(options)) {
  CHECK(options_.max_processes > 0 && options_.process.extension.is_absolute());
  std::error_code error;
  fs::create_directories(options_.scratch, error);
  if (error) throw system_error(error.value(), options_.scratch.string());
  remove_leftovers(options_.scratch);
  ignore_sigpipe();
  keeper_ = std::thread([this] { keep(); });
}

RedoPool::~RedoPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  keeper_cv_.notify_all();
  idle_cv_.notify_all();
  keeper_.join();
}

void RedoPool::expect_work(bool expected) {
  MutexLock lock(mutex_);
  if (std::exchange(expects_work_, expected) == expected) return;
  if (expected) start_at_ = std::max(start_at_, steady_clock::now() + kSpareDelay);
  keeper_cv_.notify_one();
}

Redo& RedoPool::of(TenantId tenant) {
  MutexLock lock(mutex_);
  auto& view = tenants_[tenant];
  if (!view) view = std::make_unique<OfTenant>(*this, tenant);
  return *view;
}

std::string RedoPool::replay(const PageKey& key, std::optional<Bytes> base,
                             std::span<const RedoRecord> records, Deadline deadline) {
  return replay_for(TenantId(), key, base, records, deadline);
}

std::string RedoPool::replay_for(TenantId tenant, const PageKey& key, std::optional<Bytes> base,
                                 std::span<const RedoRecord> records, Deadline deadline) {
  check_chain(key, base, records);
  if (records.empty()) {
    if (!base) throw Error(Errc::invalid_argument, "neither a base page nor records");
    return std::string(as_text(*base));
  }
  thread_local std::string request;
  std::string page;
  while (!records.empty()) {
    size_t count = encode_request(key, base, records, request);
    page = replay_step(tenant, key, as_bytes(request), deadline);
    base = as_bytes(page);
    records = records.subspan(count);
    records_total.add(static_cast<double>(count));
  }
  if (request.capacity() > 1 << 20) request = {};
  pages_total.add();
  return page;
}

// Takes the process back if it is good for another request; else the reason is in the error.
std::string RedoPool::replay_step(TenantId tenant, const PageKey& key, Bytes request,
                                  Deadline deadline) {
  std::string why;
  bool refused = false;  // By Postgres, in the last attempt; else it died of something else.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Process process = acquire(tenant, deadline);
    try {
      Deadline limit = Deadline::after(
          std::min<steady_clock::duration>(deadline.left(), options_.request_timeout));
      RedoProcess::Reply reply = process->exchange(request, limit);
      if (reply.status == REDO_PAGE) {
        release(std::move(process), tenant);
        return std::move(reply.body);
      }
      why = fmt::format("record {}: {}", reply.detail, reply.body);
      refused = reply.status != REDO_SHORT;
      if (reply.status == REDO_REFUSED) {
        release(std::move(process), tenant);
        break;
      }
    } catch (const Error& error) {
      why = error.what();
      refused = error.code() == Errc::corrupt;
      if (error.code() == Errc::timed_out && deadline.passed()) {
        discard(std::move(process));
        throw;
      }
    }
    logger.info("redo process gave up on a page, attempt {}: {}", attempt + 1, why);
    discard(std::move(process));
  }
  throw Error(refused ? Errc::corrupt : Errc::unavailable,
              "Postgres cannot rebuild page {}/{}/{} fork {} block {}{}: {}", key.tag.spc,
              key.tag.db, key.tag.rel, key.tag.fork, key.block, refused ? "" : " now", why);
}

RedoPool::Process RedoPool::acquire(TenantId tenant, Deadline deadline) {
  MutexLock lock(mutex_);
  Process process;
  while (!(process = take_idle(tenant))) {
    if (stopping_) throw Error(Errc::cancelled, "the redo pool is stopping");
    if (processes_ == 0 && !start_error_.empty())
      throw Error(Errc::unavailable, "{}", start_error_);
    make_room();
    if (start_error_.empty()) start_at_ = {};
    waiting_++;
    keeper_cv_.notify_one();
    const bool in_time = idle_cv_.wait_until(mutex_, deadline.at());
    waiting_--;
    if (in_time) continue;
    if ((process = take_idle(tenant))) break;
    throw Error(Errc::timed_out, "no redo process was free in time");
  }
  if (wants_start()) keeper_cv_.notify_one();
  return process;
}

RedoPool::Process RedoPool::take_idle(TenantId tenant) {
  auto found = idle_.end();
  for (auto at = idle_.begin(); at != idle_.end(); ++at) {
    if (at->owner == tenant) found = at;
    if (!at->owner && (found == idle_.end() || !found->owner)) found = at;
  }
  if (found == idle_.end()) return nullptr;
  Process process = std::move(found->process);
  idle_.erase(found);
  return process;
}

void RedoPool::make_room() {
  if (processes_ < options_.max_processes || idle_.empty() || !evicted_.empty()) return;
  evicted_.push_back(std::move(idle_.front().process));
  idle_.erase(idle_.begin());
  keeper_cv_.notify_one();
}

void RedoPool::release(Process process, TenantId tenant) {
  {
    MutexLock lock(mutex_);
    idle_.push_back({std::move(process), tenant, steady_clock::now()});
  }
  idle_cv_.notify_all();  // Not everybody can use it.
}

void RedoPool::discard(Process process) {
  process.reset();  // Waits for its end, so not under the lock.
  deaths_total.add();
  {
    MutexLock lock(mutex_);
    --processes_;
  }
  keeper_cv_.notify_one();
}

// One spare is kept ready as long as the limit allows. After a start that failed it is tried until
// it succeeds: requests fail at once meanwhile.
bool RedoPool::wants_start() const {
  const bool wanted = expects_work_ || waiting_ > 0 || !start_error_.empty();
  return wanted && !has_spare() && processes_ < options_.max_processes && !stopping_;
}

bool RedoPool::has_spare() const {
  return std::any_of(idle_.begin(), idle_.end(), [](const Idle& idle) { return !idle.owner; });
}

void RedoPool::keep() {
  mutex_.lock();
  while (!stopping_) {
    auto now = steady_clock::now();
    if (wants_start() && now >= start_at_) {
      mutex_.unlock();
      start_one();
      mutex_.lock();
      continue;
    }
    auto expired = take_expired();
    if (!expired.empty()) {
      mutex_.unlock();
      expired.clear();
      mutex_.lock();
      continue;
    }
    auto wake = wants_start() ? start_at_ : now + options_.idle_timeout;
    (void)keeper_cv_.wait_until(mutex_, wake);
  }
  mutex_.unlock();
}

void RedoPool::start_one() {
  fs::path directory;
  {
    MutexLock lock(mutex_);
    directory = options_.scratch / fmt::format("{}{}", kDirectoryPrefix, ++started_);
    ++processes_;
  }
  Process process;
  std::string error;
  try {
    process = std::make_unique<RedoProcess>(options_.process, directory);
    process->wait_ready(Deadline::after(kStartTimeout));
  } catch (const Error& e) {
    process.reset();
    error = e.what();
  }
  bool news;
  {
    MutexLock lock(mutex_);
    news = start_error_ != error;
    start_error_ = error;
    if (process) {
      idle_.push_back({std::move(process), std::nullopt, steady_clock::now()});
    } else {
      --processes_;
      start_at_ = steady_clock::now() + kStartRetry;
    }
  }
  idle_cv_.notify_all();
  if (news && !error.empty()) logger.error("cannot start a redo process: {}", error);
}

// A spare stays as long as work is expected.
std::vector<RedoPool::Process> RedoPool::take_expired() {
  std::vector<Process> expired = std::exchange(evicted_, {});
  auto limit = steady_clock::now() - options_.idle_timeout;
  const bool keeps_spare = expects_work_;
  std::erase_if(idle_, [&](Idle& idle) {
    if ((!idle.owner && keeps_spare) || idle.since > limit) return false;
    expired.push_back(std::move(idle.process));
    return true;
  });
  processes_ -= static_cast<int>(expired.size());
  return expired;
}

std::vector<pid_t> RedoPool::idle_pids(std::optional<TenantId> owner) const {
  MutexLock lock(mutex_);
  std::vector<pid_t> pids;
  for (const Idle& idle : idle_)
    if (!owner || idle.owner == owner) pids.push_back(idle.process->pid());
  return pids;
}

}  // namespace halogen::pageserver
