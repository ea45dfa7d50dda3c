// fakes.h: storage and a compute host for tests, in memory.
#pragma once
#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/mutex.h"
#include "protocol/compute_host.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::control {

// Starts and stops at once, or when told to.
class FakeHost : public ComputeHost {
 public:
  ComputeAddress start(const ComputeSpec& spec, Deadline) override {
    ++starts;
    pause(start_gate);
    if (fail_starts > 0) {
      --fail_starts;
      throw Error(start_error, "no memory for a compute");
    }
    MutexLock lock(mutex_);
    running_.insert(spec.endpoint_id);
    settings_ = spec.settings;
    return {"/sockets/" + spec.endpoint_id, 5432};
  }
  ComputeStopped suspend(const std::string& id, bool force, Deadline) override {
    ++suspends;
    pause(suspend_gate);
    if (fail_suspends > 0) {
      --fail_suspends;
      throw Error(Errc::timed_out, "it does not end");
    }
    if (!force && clients) throw Error(Errc::conflict, "clients are connected");
    MutexLock lock(mutex_);
    if (running_.erase(id) == 0) return {};
    ComputeStopped stopped{Lsn(0x3000000 + 0x100 * suspends.load()), roles_, databases_,
                           force && vacuum_due, std::nullopt};
    if (next_job >= 0) stopped.next_job = next_job;
    return stopped;
  }
  void destroy(const std::string& id) override {
    MutexLock lock(mutex_);
    running_.erase(id);
    destroyed_.insert(id);
  }
  bool running(const std::string& id) override {
    MutexLock lock(mutex_);
    return running_.contains(id);
  }
  RoleList roles(const std::string& id) override {
    ++role_reads;
    while (is_stuck(id)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    MutexLock lock(mutex_);
    if (!running_.contains(id)) throw Error(Errc::not_found, "not running");
    return {roles_, 1};
  }
  std::shared_ptr<const RoleList> known_roles(const std::string&) override {
    MutexLock lock(mutex_);
    return knows_roles ? std::make_shared<const RoleList>(RoleList{roles_, 1}) : nullptr;
  }
  std::vector<StoredDatabase> databases(const std::string& id) override {
    MutexLock lock(mutex_);
    if (!running_.contains(id)) throw Error(Errc::not_found, "not running");
    return databases_;
  }
  void execute(const std::string& id, const std::string&, const std::string& sql) override {
    if (!running(id)) throw Error(Errc::not_found, "not running");
    if (on_execute) on_execute(sql);
    MutexLock lock(mutex_);
    executed_.push_back(sql);
  }
  std::vector<std::vector<std::string>> query(const std::string& id, const std::string&,
                                              const std::string&) override {
    MutexLock lock(mutex_);
    if (!running_.contains(id)) throw Error(Errc::not_found, "not running");
    return {{R"({"tables":[]})"}};
  }
  std::string dump_schema(const std::string& id, const std::string& database, Deadline) override {
    MutexLock lock(mutex_);
    if (!running_.contains(id)) throw Error(Errc::not_found, "not running");
    for (const StoredDatabase& one : databases_)
      if (one.name == database) return "-- " + settings_[""] + "\nCREATE TABLE t ();\n";
    throw Error(Errc::not_found, "database not found");
  }
  void on_exit(std::function<void(const std::string&)> callback) override {
    MutexLock lock(mutex_);
    exited_ = std::move(callback);
  }

  void crash(const std::string& id, bool tell = true) {
    std::function<void(const std::string&)> exited;
    {
      MutexLock lock(mutex_);
      running_.erase(id);
      exited = exited_;
    }
    if (tell) exited(id);
  }
  // It answers nothing, though it runs, until told otherwise.
  void set_stuck(const std::string& id, bool stuck) {
    MutexLock lock(mutex_);
    if (stuck)
      stuck_.insert(id);
    else
      stuck_.erase(id);
  }
  bool is_stuck(const std::string& id) {
    MutexLock lock(mutex_);
    return stuck_.contains(id);
  }
  // Of the last start.
  std::map<std::string, std::string> settings() {
    MutexLock lock(mutex_);
    return settings_;
  }
  void set_roles(std::vector<StoredRole> roles) {
    MutexLock lock(mutex_);
    roles_ = std::move(roles);
  }
  void set_databases(std::vector<StoredDatabase> databases) {
    MutexLock lock(mutex_);
    databases_ = std::move(databases);
  }
  std::vector<std::string> executed() {
    MutexLock lock(mutex_);
    return executed_;
  }
  bool destroyed(const std::string& id) {
    MutexLock lock(mutex_);
    return destroyed_.contains(id);
  }

  // What a statement does; it may throw. Set while nothing is executed.
  std::function<void(const std::string& sql)> on_execute;
  std::atomic<int> starts = 0;
  std::atomic<int> suspends = 0;
  std::atomic<int> role_reads = 0;
  std::atomic<bool> knows_roles = false;  // That nothing of them has changed.
  std::atomic<int> fail_starts = 0;
  std::atomic<Errc> start_error = Errc::unavailable;
  std::atomic<int> fail_suspends = 0;
  std::atomic<bool> clients = false;
  std::atomic<bool> vacuum_due = false;
  std::atomic<int64_t> next_job = -1;  // Not known.
  // While true, that call does not return.
  std::atomic<bool> start_gate = false;
  std::atomic<bool> suspend_gate = false;

 private:
  static void pause(const std::atomic<bool>& gate) {
    while (gate) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  Mutex mutex_;
  std::set<std::string> running_ GUARDED_BY(mutex_);
  std::set<std::string> destroyed_ GUARDED_BY(mutex_);
  std::set<std::string> stuck_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> settings_ GUARDED_BY(mutex_);
  std::vector<StoredRole> roles_ GUARDED_BY(mutex_) = {
      {"neondb_owner", "SCRAM-SHA-256$fake", true}};
  std::vector<StoredDatabase> databases_ GUARDED_BY(mutex_) = {{"neondb", "neondb_owner"}};
  std::vector<std::string> executed_ GUARDED_BY(mutex_);
  std::function<void(const std::string&)> exited_ GUARDED_BY(mutex_);
};

class FakePageserver final : public PageserverAdmin {
 public:
  void import_template(int, const std::filesystem::path&, Lsn) override {}
  TimelineInfo template_timeline(int) override {
    MutexLock lock(mutex_);
    return timelines_.at(template_);
  }
  void create_timeline(TenantId tenant, TimelineId id, TimelineId ancestor, Lsn lsn,
                       Deadline) override {
    while (create_gate) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (fail_creates) throw Error(Errc::timed_out, "WAL did not arrive");
    MutexLock lock(mutex_);
    const TenantId owner = find(ancestor).tenant;
    if (ancestor != template_ && owner != tenant)
      throw Error(Errc::permission_denied, "another project's timeline");
    auto [found, made] =
        timelines_.try_emplace(id, TimelineInfo{tenant, id, ancestor, lsn, lsn, lsn});
    const TimelineInfo& there = found->second;
    if (!made &&
        (there.tenant != tenant || there.ancestor != ancestor || there.ancestor_lsn != lsn))
      throw Error(Errc::already_exists, "the timeline exists");
  }
  void delete_timeline(TimelineId id) override {
    MutexLock lock(mutex_);
    if (id == template_) throw Error(Errc::conflict, "a template");
    for (auto& [other, info] : timelines_)
      if (info.ancestor == id) throw Error(Errc::conflict, "the timeline has branches");
    timelines_.erase(id);
  }
  TimelineInfo timeline(TimelineId id) override {
    MutexLock lock(mutex_);
    return find(id);
  }
  std::vector<TimelineInfo> timelines() override {
    MutexLock lock(mutex_);
    std::vector<TimelineInfo> all;
    for (auto& [id, info] : timelines_) all.push_back(info);
    return all;
  }
  std::vector<TimelineInfo> timelines_of(TenantId tenant) override {
    std::vector<TimelineInfo> all = timelines();
    std::erase_if(all, [&](const TimelineInfo& info) { return info.tenant != tenant; });
    return all;
  }
  Moment moment_at(TimelineId id, Lsn lsn) override {
    MutexLock lock(mutex_);
    if (lsn > find(id).last_record_lsn)
      throw Error(Errc::invalid_argument, "beyond the end of history");
    if (lsn < beginning(id).lsn) throw Error(Errc::gone, "history begins later");
    Moment found = beginning(id);
    for (const auto& [end, time] : commits_[id])
      if (end <= lsn) found = {end, time};
    return found;
  }
  Moment moment_at_time(TimelineId id, int64_t time) override {
    MutexLock lock(mutex_);
    find(id);
    Moment found = beginning(id);
    if (found.commit_time && time < *found.commit_time)
      throw Error(Errc::gone, "history begins later");
    for (const auto& [end, committed] : commits_[id])
      if (committed <= time) found = {end, committed};
    return found;
  }
  void set_history_retention(TenantId tenant, std::chrono::seconds retention) override {
    MutexLock lock(mutex_);
    retention_[tenant] = retention;
  }
  Moment earliest_moment(TimelineId id) override {
    MutexLock lock(mutex_);
    return beginning(id);
  }
  // What projects' windows were said to be.
  std::map<TenantId, std::chrono::seconds> retention() {
    MutexLock lock(mutex_);
    return retention_;
  }
  // History begins with this commit from now on.
  void forget_before(TimelineId id, Moment moment) {
    MutexLock lock(mutex_);
    beginnings_[id] = moment;
  }
  void attach_wal(TimelineId id, const std::string&, int) override {
    MutexLock lock(mutex_);
    find(id);
  }
  void wait_for_lsn(TimelineId, Lsn, Deadline) override {}
  Skeleton skeleton(TimelineId, Lsn, Deadline) override { return {}; }
  PageToken open_session(TimelineId, uint64_t, Lsn) override { return {}; }
  Lsn advance_session(const PageToken&) override { return {}; }
  void close_session(const PageToken&) override {}
  std::string page_service_socket() override { return ""; }
  void put_file(TimelineId, Lsn, const std::string&, std::string) override {}
  std::string read_page(TimelineId, const PageKey&, Lsn, Deadline) override { return {}; }
  void flush(TimelineId, Deadline) override {}

  void advance(TimelineId id, Lsn lsn) {
    MutexLock lock(mutex_);
    timelines_.at(id).last_record_lsn = timelines_.at(id).disk_consistent_lsn = lsn;
  }

  void commit(TimelineId id, Lsn end, int64_t time) {
    advance(id, end);
    MutexLock lock(mutex_);
    commits_[id][end] = time;
  }

  // As if its folder were damaged.
  void lose(TimelineId id) {
    MutexLock lock(mutex_);
    timelines_.erase(id);
  }

  std::atomic<bool> fail_creates = false;
  std::atomic<bool> create_gate = false;  // While true, no timeline is made.

 private:
  const TimelineInfo& find(TimelineId id) REQUIRES(mutex_) {
    auto found = timelines_.find(id);
    if (found == timelines_.end()) throw Error(Errc::not_found, "no such timeline");
    return found->second;
  }

  Moment beginning(TimelineId id) REQUIRES(mutex_) {
    auto found = beginnings_.find(id);
    return found != beginnings_.end()
               ? found->second
               : Moment{timelines_.at(template_).last_record_lsn, std::nullopt};
  }

  const TimelineId template_ = TimelineId::random();
  Mutex mutex_;
  std::map<TimelineId, std::map<Lsn, int64_t>> commits_ GUARDED_BY(mutex_);
  std::map<TimelineId, Moment> beginnings_ GUARDED_BY(mutex_);
  std::map<TenantId, std::chrono::seconds> retention_ GUARDED_BY(mutex_);
  std::map<TimelineId, TimelineInfo> timelines_ GUARDED_BY(mutex_) = {
      {template_,
       {.timeline = template_, .last_record_lsn = Lsn(0x2000000), .disk_consistent_lsn = {}}}};
};

class FakeSafekeeper final : public SafekeeperAdmin {
 public:
  void create_timeline(TimelineId id, Lsn start, uint64_t) override {
    MutexLock lock(mutex_);
    auto [found, made] = timelines_.try_emplace(id, Kept{{.start = start, .flush = start}, start});
    if (!made && found->second.first != start)
      throw Error(Errc::already_exists, "the timeline has another start");
  }
  void delete_timeline(TimelineId id) override {
    MutexLock lock(mutex_);
    timelines_.erase(id);
  }
  TermStart begin_term(TimelineId id, uint64_t term) override {
    MutexLock lock(mutex_);
    WalStatus& status = find(id);
    if (term <= status.term) throw Error(Errc::fenced, "the term is over");
    status.term = term;
    return {.end = status.flush, .prev_record = kInvalidLsn, .page_head = {}};
  }
  void pull(TimelineId id, uint64_t, const WalSource&) override { check(id); }
  void stop_pull(TimelineId id, uint64_t) override { check(id); }
  Token grant_wal(TimelineId id, WalConsumer) override {
    check(id);
    return Token::random();
  }
  WalStatus status(TimelineId id) override {
    MutexLock lock(mutex_);
    return find(id);
  }
  void wait_for_flush(TimelineId id, Lsn, Deadline) override { check(id); }
  void trim(TimelineId id, Lsn lsn) override {
    MutexLock lock(mutex_);
    find(id).start = lsn;
  }
  std::string wal_host() override { return "/wal"; }
  int wal_port() override { return 5433; }

  size_t count() {
    MutexLock lock(mutex_);
    return timelines_.size();
  }

 private:
  struct Kept {
    WalStatus status;
    Lsn first;  // As it was made.
  };
  WalStatus& find(TimelineId id) REQUIRES(mutex_) {
    auto found = timelines_.find(id);
    if (found == timelines_.end()) throw Error(Errc::not_found, "no such timeline");
    return found->second.status;
  }
  void check(TimelineId id) {
    MutexLock lock(mutex_);
    find(id);
  }

  Mutex mutex_;
  std::map<TimelineId, Kept> timelines_ GUARDED_BY(mutex_);
};

}  // namespace halogen::control
