#include "control/monitor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("monitor");

constexpr int64_t kFine = Monitor::kFineStep.count();
constexpr int64_t kCoarse = Monitor::kCoarseStep.count();
constexpr int64_t kMostSamples = 2000;
constexpr size_t kMostProcesses = 2000;
constexpr int64_t kAskAgainAfter = 600;

constexpr std::array<std::string_view, kMeasures> kNames{
    "active_us",    "cpu_us",         "queries",      "transactions",   "request_us",
    "wait_us",      "received",       "sent",         "wal_bytes",      "wakes",
    "blocks_hit",   "blocks_read",    "memory_bytes", "active_clients", "waiting_clients",
    "idle_clients", "pinned_clients", "servers",      "logical_bytes",  "own_bytes"};

std::string columns(const std::function<std::string(std::string_view, bool is_sum)>& each) {
  std::string text;
  for (size_t i = 0; i < kMeasures; ++i) text += ", " + each(kNames[i], i < kSums);
  return text;
}

int64_t& of(Measures& values, Measure measure) { return values[static_cast<size_t>(measure)]; }

std::string insert_into_samples() {
  return "INSERT OR REPLACE INTO samples (endpoint, tier, at, seconds" +
         columns([](std::string_view name, bool) { return std::string(name); }) + ")";
}

// Counted since before this program began.
bool is_older(Measure measure) {
  return measure == Measure::wal_bytes || measure == Measure::blocks_hit ||
         measure == Measure::blocks_read;
}

// The fields of /proc/<pid>/stat behind the name, which may have anything in it but is in
// parentheses: the first is the third of proc(5).
std::vector<std::string> stat_fields(const fs::path& folder) {
  std::ifstream file(folder / "stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::string> fields;
  std::istringstream words(text.substr(std::min(text.rfind(')') + 1, text.size())));
  for (std::string word; words >> word;) fields.push_back(word);
  return fields;
}

int64_t number_at(const std::vector<std::string>& fields, size_t index) {
  return index < fields.size() ? std::strtoll(fields[index].c_str(), nullptr, 10) : 0;
}

// "RssAnon:      1234 kB" of /proc/<pid>/status, in bytes.
int64_t status_bytes(const fs::path& folder, const std::string& name) {
  std::ifstream file(folder / "status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":"))
      return std::strtoll(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  return 0;
}

}  // namespace

std::string_view measure_name(Measure measure) { return kNames[static_cast<size_t>(measure)]; }

ProcessUse use_of_processes(int postmaster, const fs::path& proc) {
  const int64_t tick_us = 1'000'000 / std::max(::sysconf(_SC_CLK_TCK), 1L);
  ProcessUse use;
  int64_t shared = 0;
  auto add = [&](const fs::path& folder, bool with_ended) {
    const std::vector<std::string> fields = stat_fields(folder);
    constexpr size_t kUser = 11;  // utime, stime, then those of children that have ended.
    int64_t ticks = number_at(fields, kUser) + number_at(fields, kUser + 1);
    if (with_ended) ticks += number_at(fields, kUser + 2) + number_at(fields, kUser + 3);
    use.cpu_us += ticks * tick_us;
    use.memory_bytes += status_bytes(folder, "RssAnon");
    shared = std::max(shared, status_bytes(folder, "RssShmem"));
  };
  const fs::path own = proc / std::to_string(postmaster);
  add(own, true);
  std::ifstream children(own / "task" / std::to_string(postmaster) / "children");
  size_t count = 0;
  for (int64_t pid; children >> pid && count < kMostProcesses; ++count)
    add(proc / std::to_string(pid), false);
  use.memory_bytes += shared;
  return use;
}

Monitor::Monitor(Options options) : options_(std::move(options)) {}

void Monitor::start() {
  open();
  thread_ = std::thread([this] { run(); });
}

void Monitor::stop() {
  {
    MutexLock lock(stop_mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Monitor::run() {
  for (;;) {
    {
      MutexLock lock(stop_mutex_);
      auto until = steady_clock::now() + kFineStep;
      while (!stopping_ && steady_clock::now() < until) changed_.wait_until(stop_mutex_, until);
      if (stopping_) return;
    }
    try {
      pass(now_micros() / 1'000'000);
    } catch (const Error& error) {
      logger.info("no sample: {}", error.what());
    }
  }
}

// What is there may be damaged: then it is made anew.
void Monitor::open() {
  MutexLock lock(mutex_);
  const std::string schema =
      "CREATE TABLE IF NOT EXISTS samples (endpoint TEXT NOT NULL, tier INTEGER NOT NULL, "
      "at INTEGER NOT NULL, seconds INTEGER NOT NULL" +
      columns([](std::string_view name, bool) {
        return fmt::format("{} INTEGER NOT NULL DEFAULT 0", name);
      }) +
      ", PRIMARY KEY (endpoint, tier, at)) WITHOUT ROWID;"
      "CREATE INDEX IF NOT EXISTS samples_by_age ON samples (tier, at)";
  const std::string all = "SELECT at" +
                          columns([](std::string_view name, bool) { return std::string(name); }) +
                          " FROM samples LIMIT 1";
  for (bool again : {false, true}) {
    try {
      db_ = std::make_unique<Database>(options_.file);
      db_->exec(schema);
      add_missing_columns();
      db_->query(all).step();
      return;
    } catch (const Error& error) {
      db_.reset();
      if (again) throw;
      logger.info("the metrics of the past are given up: {}", error.what());
      std::error_code ignored;
      for (const char* part : {"", "-wal", "-shm"})
        fs::remove(options_.file.native() + part, ignored);
    }
  }
}

// A file of an earlier release has fewer.
void Monitor::add_missing_columns() {
  std::set<std::string> there;
  Statement known = db_->query("SELECT name FROM pragma_table_info('samples')");
  while (known.step()) there.emplace(known.text(0));
  for (std::string_view name : kNames)
    if (!there.contains(std::string(name)))
      db_->exec(fmt::format("ALTER TABLE samples ADD COLUMN {} INTEGER NOT NULL DEFAULT 0", name));
}

void Monitor::pass(int64_t now) {
  {
    MutexLock lock(mutex_);
    if (!db_) return;
  }
  std::map<std::string, int> running;
  for (const ComputeProcess& process : options_.host.processes())
    running[process.endpoint_id] = process.pid;
  std::set<std::string> known;
  for (const Endpoint& endpoint : options_.catalog.all_endpoints()) {
    known.insert(endpoint.id);
    auto process = running.find(endpoint.id);
    const bool ran = endpoint.suspended_at.value_or(0) / 1'000'000 >= last_pass_;
    if (process == running.end() && (!ran || last_pass_ == 0)) continue;
    try {
      take(endpoint, process == running.end() ? 0 : process->second, now);
    } catch (const Error& error) {
      // One that is deleted under us is no news.
      if (error.code() != Errc::not_found) throw;
    }
  }
  last_pass_ = now;
  const int64_t until = now / kCoarse * kCoarse;
  MutexLock lock(mutex_);
  if (coarse_until_ == until) return;
  std::erase_if(last_, [&](const auto& entry) { return !known.contains(entry.first); });
  make_coarse(until);
  forget_old(now);
}

Measures Monitor::read(const Endpoint& endpoint, int pid) {
  Measures values{};
  const ProcessUse use = pid != 0 ? use_of_processes(pid) : ProcessUse{};
  of(values, Measure::cpu_us) = use.cpu_us;
  of(values, Measure::memory_bytes) = use.memory_bytes;
  if (Pooler* pooler = options_.pooler()) {
    const PoolerStatus status = pooler->pooler_status(endpoint.id, false);
    of(values, Measure::wakes) = static_cast<int64_t>(status.wakes);
    PoolerTotals totals;
    for (const auto& [database, part] : status.totals) totals.add(part);
    auto us = [](auto time) {
      return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    };
    of(values, Measure::queries) = static_cast<int64_t>(totals.queries);
    of(values, Measure::transactions) = static_cast<int64_t>(totals.transactions);
    of(values, Measure::request_us) = us(totals.request_time);
    of(values, Measure::wait_us) = us(totals.wait_time);
    of(values, Measure::received) = static_cast<int64_t>(totals.received);
    of(values, Measure::sent) = static_cast<int64_t>(totals.sent);
    for (const PoolerPool& pool : status.pools) {
      of(values, Measure::active_clients) += pool.of(ClientState::active);
      of(values, Measure::waiting_clients) += pool.waiting();
      of(values, Measure::idle_clients) +=
          pool.of(ClientState::idle) + pool.of(ClientState::parked);
      of(values, Measure::pinned_clients) += pool.of(ClientState::pinned);
      of(values, Measure::servers) += pool.servers_used + pool.servers_idle;
    }
  }
  const TimelineInfo storage =
      options_.pageserver.timeline(options_.catalog.branch(endpoint.branch_id).timeline);
  of(values, Measure::wal_bytes) = static_cast<int64_t>(storage.last_record_lsn.value);
  of(values, Measure::logical_bytes) = static_cast<int64_t>(storage.logical_bytes);
  of(values, Measure::own_bytes) = static_cast<int64_t>(storage.physical_bytes);
  return values;
}

// A backend for the question costs some milliseconds: not for a compute that nobody has used.
void Monitor::add_block_use(const Endpoint& endpoint, int pid, int64_t now, Counters* counters) {
  auto before = last_.find(endpoint.id);
  if (before != last_.end()) {
    const Counters& last = before->second;
    for (Measure measure : {Measure::blocks_hit, Measure::blocks_read})
      of(counters->values, measure) = last.values[static_cast<size_t>(measure)];
    if (last.started_at == counters->started_at) counters->blocks_after = last.blocks_after;
    constexpr auto kQueries = static_cast<size_t>(Measure::queries);
    if (last.values[kQueries] == counters->values[kQueries] || now < counters->blocks_after) return;
  }
  if (pid == 0) return;
  if (std::optional<BlockUse> use = options_.host.block_use(endpoint.id)) {
    of(counters->values, Measure::blocks_hit) = use->hit;
    of(counters->values, Measure::blocks_read) = use->read;
  } else {
    counters->blocks_after = now + kAskAgainAfter;
  }
}

// The proxy's counters begin with this program, a compute's with its start. Those of WAL and of
// blocks are older, so the first tells nothing, and a restored branch's may be lower than before.
void Monitor::take(const Endpoint& endpoint, int pid, int64_t now) {
  const Micros started = endpoint.started_at.value_or(0);
  Counters counters{.at = now, .started_at = started, .values = read(endpoint, pid)};
  add_block_use(endpoint, pid, now, &counters);
  Sample sample{.at = now, .seconds = kFine, .values = counters.values};
  auto last = last_.find(endpoint.id);
  if (last != last_.end()) sample.seconds = std::clamp<int64_t>(now - last->second.at, 1, kFine);
  for (size_t i = 0; i < kSums; ++i) {
    const auto measure = static_cast<Measure>(i);
    const bool anew =
        last == last_.end() || (measure == Measure::cpu_us && last->second.started_at != started);
    const int64_t before = anew ? 0 : last->second.values[i];
    sample.values[i] = std::max<int64_t>(counters.values[i] - before, 0);
    if (is_older(measure) && before == 0) sample.values[i] = 0;
  }
  const int64_t end = pid != 0 ? now : endpoint.suspended_at.value_or(0) / 1'000'000;
  const int64_t begin = std::max(started / 1'000'000, now - sample.seconds);
  of(sample.values, Measure::active_us) =
      std::clamp<int64_t>(end - begin, 0, sample.seconds) * 1'000'000;
  last_[endpoint.id] = counters;
  MutexLock lock(mutex_);
  insert(endpoint.id, kFine, sample);
}

void Monitor::insert(const std::string& endpoint_id, int64_t tier, const Sample& sample) {
  std::string values;
  for (int64_t value : sample.values) values += fmt::format(", {}", value);
  db_->run(fmt::format("{} VALUES (?, ?, ?, ?{})", insert_into_samples(), values), endpoint_id,
           tier, sample.at, sample.seconds);
}

// What the fine samples of each full five minutes come to.
void Monitor::make_coarse(int64_t until) {
  const int64_t from = coarse_until_ == 0 ? until - kFineTime.count() * 3600 : coarse_until_;
  const std::string cast = columns([](std::string_view name, bool is_sum) {
    return fmt::format("CAST({}({}) AS INTEGER)", is_sum ? "sum" : "avg", name);
  });
  db_->run(
      fmt::format("{3} SELECT endpoint, {0}, (at + {0} - 1) / {0} * {0}, {0}{1} FROM samples "
                  "WHERE tier = {2} AND at > ? AND at <= ? GROUP BY endpoint, (at + {0} - 1) / {0}",
                  kCoarse, cast, kFine, insert_into_samples()),
      from, until);
  coarse_until_ = until;
}

void Monitor::forget_old(int64_t now) {
  db_->run("DELETE FROM samples WHERE tier = ? AND at <= ?", kFine, now - kFineTime.count() * 3600);
  db_->run("DELETE FROM samples WHERE tier = ? AND at <= ?", kCoarse,
           now - kCoarseTime.count() * 3600);
  Statement count = db_->query("SELECT count(*) FROM samples");
  count.step();
  const int64_t over = count.integer(0) - options_.most_rows;
  if (over > 0)
    db_->run(
        "DELETE FROM samples WHERE (endpoint, tier, at) IN (SELECT endpoint, tier, at FROM "
        "samples ORDER BY at LIMIT ?)",
        over);
}

std::vector<Sample> Monitor::samples(const std::string& endpoint_id, int64_t from, int64_t to) {
  std::vector<Sample> found;
  MutexLock lock(mutex_);
  if (!db_) return found;
  const bool fine = to - from <= kFineTime.count() * 3600;
  Statement rows = db_->query(
      "SELECT at, seconds" +
          columns([](std::string_view name, bool) { return std::string(name); }) +
          " FROM samples WHERE endpoint = ? AND tier = ? AND at > ? AND at <= ? ORDER BY at DESC "
          "LIMIT ?",
      endpoint_id, fine ? kFine : kCoarse, from, to, kMostSamples);
  while (rows.step()) {
    Sample sample{rows.integer(0), rows.integer(1), {}};
    for (size_t i = 0; i < kMeasures; ++i) sample.values[i] = rows.integer(static_cast<int>(i) + 2);
    found.push_back(sample);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace halogen::control
