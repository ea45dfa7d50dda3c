// test_world.h: for the proxy's tests: stock Postgres behind a proxy, with an Endpoints of our own
// making, and clients as subprocesses.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "postgres/scram.h"
#include "postgres/stock_cluster.h"
#include "proxy/proxy.h"

namespace halogen::proxy {

// Answers from a thread of its own, as control does.
class FakeEndpoints : public Endpoints {
 public:
  explicit FakeEndpoints(ComputeAddress address) : address_(std::move(address)) {
    address_.start = 1;
  }
  ~FakeEndpoints() override {
    run([this] { stopped_ = true; });
    thread_.join();
  }

  void set_role(const std::string& role, const std::string& verifier) {
    MutexLock lock(mutex_);
    roles_[role] = verifier;
  }

  bool exists(const std::string& endpoint) override { return endpoint == "ep-test"; }
  std::optional<std::string> endpoint_of_branch(const std::string& branch) override {
    return branch == "br-test" ? std::optional<std::string>("ep-test") : std::nullopt;
  }
  void look_at(const std::string&, const std::string& moment,
               std::function<void(Outcome<std::string>)> done) override {
    run([done = std::move(done), moment] {
      if (moment == "neon_lsn:0/1")
        done({std::nullopt, Error(Errc::gone, "history begins at 0/100; 0/1 is older")});
      else
        done({"ep-test", std::nullopt});
    });
  }
  bool address_allowed(const std::string&, const IpAddress& address) override {
    MutexLock lock(mutex_);
    return !refused_.contains(address);
  }
  void refuse(std::string_view address) {
    MutexLock lock(mutex_);
    refused_.insert(IpAddress::parse(address).value());
  }
  void role_secret(const std::string&, const std::string& role,
                   std::function<void(Outcome<RoleSecret>)> done) override {
    lookups++;
    Outcome<RoleSecret> outcome;
    MutexLock lock(mutex_);
    if (auto found = roles_.find(role); found != roles_.end())
      outcome.value = RoleSecret{found->second};
    else
      outcome.error = Error(Errc::not_found, "no role {}", role);
    jobs_.push_back([done = std::move(done), outcome, time = role_time.load()] {
      std::this_thread::sleep_for(time);
      done(outcome);
    });
    changed_.notify_one();
  }
  void wake(const std::string&, std::function<void(Outcome<ComputeAddress>)> done) override {
    wakes++;
    run([this, done = std::move(done)] {
      std::this_thread::sleep_for(wake_time.load());
      Outcome<ComputeAddress> outcome;
      if (wake_fails)
        outcome.error = Error(Errc::unavailable, "no room for a compute");
      else
        outcome.value = woken();
      done(outcome);
    });
  }
  std::optional<uint64_t> use_began(const std::string&) override {
    opened++;
    MutexLock lock(mutex_);
    return awake.load() ? std::optional(address_.start) : std::nullopt;
  }
  void use_ended(const std::string&) override { closed++; }
  PoolSettings pool_settings(const std::string&) override {
    MutexLock lock(mutex_);
    return pool_;
  }
  void set_pool(const PoolSettings& settings) {
    MutexLock lock(mutex_);
    pool_ = settings;
  }
  // The compute is stopped as if suspended, or lost; the next wake() is another start of it.
  void compute_stopped() {
    MutexLock lock(mutex_);
    address_.start++;
    awake = false;
  }

  std::atomic<bool> awake = false;
  std::atomic<int> wakes = 0;
  std::atomic<int> lookups = 0;
  std::atomic<int> opened = 0;
  std::atomic<int> closed = 0;
  std::atomic<std::chrono::milliseconds> wake_time = std::chrono::milliseconds(0);
  std::atomic<std::chrono::milliseconds> role_time = std::chrono::milliseconds(0);
  std::atomic<bool> wake_fails = false;

 private:
  void run(std::function<void()> job) {
    MutexLock lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }
  std::function<void()> next_job() {
    MutexLock lock(mutex_);
    while (jobs_.empty()) changed_.wait(mutex_);
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  ComputeAddress woken() {
    MutexLock lock(mutex_);
    awake = true;
    return address_;
  }

  Mutex mutex_;
  ComputeAddress address_ GUARDED_BY(mutex_);
  PoolSettings pool_ GUARDED_BY(mutex_);
  CondVar changed_;
  std::map<std::string, std::string> roles_ GUARDED_BY(mutex_);
  std::set<IpAddress> refused_ GUARDED_BY(mutex_);
  std::deque<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  bool stopped_ = false;  // Of the thread.
  std::thread thread_{[this] {
    while (!stopped_) next_job()();
  }};
};

struct CommandResult {
  int status = 0;
  std::string output;  // Both of them.
};

inline CommandResult command(const std::string& text) {
  CommandResult result;
  FILE* pipe = ::popen(("( " + text + " ) 2>&1").c_str(), "r");
  char buffer[65536];
  for (size_t size; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    result.output.append(buffer, size);
  result.status = ::pclose(pipe);
  return result;
}

// One server for all tests of the program; a proxy for each test.
class ProxyTest : public ::testing::Test {
 protected:
  static constexpr const char* kPassword = "s3cret";

  static void SetUpTestSuite() {
    cluster_ = new halogen::testing::StockCluster();
    // build/<preset>/bin/proxy_test and build/<preset>/lib/halogen.so.
    fs::path build = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
    cluster_->start("-c max_connections=1200 -c shared_buffers=16MB -c shared_preload_libraries=" +
                    (build / "lib/halogen.so").string());
    cluster_->sql("create role alice login superuser; create role nologin;");
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }

  ProxyTest() : endpoints_({cluster_->folder().string(), 5432, 1200}) {
    endpoints_.set_role("alice", scram::make_verifier(kPassword).str());
    endpoints_.set_role("nologin", "");
  }
  ~ProxyTest() override {
    proxy_.reset();
    EXPECT_EQ(endpoints_.opened, endpoints_.closed);
    fs::remove_all(certificates_);
  }

  Proxy& start(std::function<void(Proxy::Options&)> change = {}) {
    Proxy::Options options;
    options.port = 0;
    options.certificate_directory = certificates_;
    options.region = "eu";
    options.threads = 2;
    if (change) change(options);
    proxy_ = std::make_unique<Proxy>(options, endpoints_);
    proxy_->start();
    return *proxy_;
  }
  // For libpq; what is in `more` wins.
  std::string conninfo(const std::string& more = "") const {
    return fmt::format(
        "host=ep-test.eu.localhost hostaddr=127.0.0.1 port={} user=alice dbname=postgres "
        "password={} sslmode=require connect_timeout=20 {}",
        proxy_->port(), kPassword, more);
  }
  CommandResult psql(const std::string& more, const std::string& sql) const {
    return command(
        fmt::format("psql -X -A -t -v VERBOSITY=verbose \"{}\" -c \"{}\"", conninfo(more), sql));
  }
  CommandResult python(const std::string& script) const {
    fs::path file = certificates_ / "script.py";
    write_file(file, fmt::format("import psycopg2, os, sys, time, threading\n"
                                 "dsn = '''{}'''\n{}",
                                 conninfo(), script));
    return command("/usr/bin/python3 " + file.string());
  }
  static std::string direct_sql(const std::string& sql) { return cluster_->sql(sql); }

  static inline halogen::testing::StockCluster* cluster_ = nullptr;
  const fs::path certificates_ = fs::temp_directory_path() / ("halogen-proxy-" + random_name(8));
  FakeEndpoints endpoints_;
  std::unique_ptr<Proxy> proxy_;
};

}  // namespace halogen::proxy
