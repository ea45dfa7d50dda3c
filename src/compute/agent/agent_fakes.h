// agent_fakes.h: for the agent's tests: a pageserver that knows one stopped cluster, a safekeeper
// made of pg_receivewal, and the privileges Postgres wants.
#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/error.h"
#include "base/mutex.h"
#include "compute/agent/data_directory.h"
#include "compute/agent/postmaster.h"
#include "compute/agent/supervisor.h"
#include "compute/agent/template.h"
#include "compute/agent/test_folder.h"
#include "postgres/control_file.h"
#include "postgres/wal_page.h"
#include "postgres/wal_reader.h"
#include "protocol/login_secret.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::compute {

// Where the build puts libhalogen_shim.so and halogen.so: ../lib beside our own program's folder.
inline fs::path build_libraries() {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib";
}

// Serves the skeleton of a stopped cluster with every file whole, so no page is ever asked for.
class FakePageserver : public PageserverAdmin {
 public:
  explicit FakePageserver(TemplateCluster cluster) : cluster_(std::move(cluster)) {}

  Skeleton skeleton(TimelineId, Lsn lsn, Deadline) override {
    if (fail_skeleton) throw Error(Errc::unavailable, "storage is away");
    Skeleton made;
    made.lsn = lsn;
    fs::path root = cluster_.data_directory;
    made.checkpoint =
        parse_control_file(15, read_file(root / "global/pg_control")).checkpoint.fields;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      std::string path = entry.path().lexically_relative(root).string();
      bool wanted = path.starts_with("base") || path.starts_with("global/") ||
                    path.starts_with("pg_xact") || path.starts_with("pg_multixact");
      if (!wanted || path == "global/pg_control") continue;
      if (entry.is_directory())
        made.directories.push_back(path);
      else
        made.files.push_back({path, read_file(entry.path())});
    }
    ++skeletons;
    return made;
  }
  PageToken open_session(TimelineId, uint64_t, Lsn) override {
    if (disagrees) throw Error(Errc::corrupt, "the safekeeper has lost WAL");
    ++open_sessions;
    return {};
  }
  Lsn advance_session(const PageToken&) override { return read_lsn; }
  void close_session(const PageToken&) override { --open_sessions; }
  std::string page_service_socket() override { return "/nonexistent/pages"; }
  void put_file(TimelineId, Lsn, const std::string& path, std::string content) override {
    MutexLock lock(mutex_);
    files_[path] = std::move(content);
  }

  void import_template(int, const fs::path&, Lsn) override {}
  TimelineInfo template_timeline(int) override { return {}; }
  void create_timeline(TenantId, TimelineId, TimelineId, Lsn, Deadline) override {}
  void delete_timeline(TimelineId) override {}
  Moment moment_at(TimelineId, Lsn lsn) override { return {lsn, std::nullopt}; }
  Moment moment_at_time(TimelineId, int64_t) override { return {}; }
  void set_history_retention(TenantId, std::chrono::seconds) override {}
  Moment earliest_moment(TimelineId) override { return {}; }
  TimelineInfo timeline(TimelineId) override { return {}; }
  std::vector<TimelineInfo> timelines() override { return {}; }
  std::vector<TimelineInfo> timelines_of(TenantId) override { return {}; }
  void attach_wal(TimelineId, const std::string&, int) override {}
  void wait_for_lsn(TimelineId, Lsn, Deadline) override {}
  std::string read_page(TimelineId, const PageKey&, Lsn, Deadline) override { return {}; }
  void flush(TimelineId, Deadline) override {
    MutexLock lock(mutex_);
    flushed_ = files_;
  }
  size_t flushed_size_of(const std::string& path) {
    MutexLock lock(mutex_);
    return flushed_[path].size();
  }

  std::atomic<bool> fail_skeleton = false;
  std::atomic<int> skeletons = 0;
  std::atomic<int> open_sessions = 0;
  Lsn read_lsn;
  std::atomic<bool> disagrees = false;  // With the safekeeper.

 private:
  TemplateCluster cluster_;
  Mutex mutex_;
  std::map<std::string, std::string> files_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> flushed_ GUARDED_BY(mutex_);
};

// One timeline; the WAL is received by pg_receivewal, a standard synchronous standby.
class FakeSafekeeper : public SafekeeperAdmin {
 public:
  FakeSafekeeper(fs::path folder, Lsn start) : folder_(std::move(folder)), start_(start) {
    ::mkdir(folder_.c_str(), 0700);
  }
  ~FakeSafekeeper() override { stop(); }

  // Forgets all WAL.
  void reset() {
    stop();
    fs::remove_all(folder_);
    ::mkdir(folder_.c_str(), 0700);
  }
  TermStart begin_term(TimelineId, uint64_t term) override {
    stop();
    term_ = term;
    WalReader::Options options;
    WalReader reader(start_, options);
    WalRecordView record;
    std::string bytes = read_segments();
    reader.feed(as_bytes(bytes));
    while (!reader.at_zeros() && reader.next(record)) {
    }
    Lsn end = reader.last_end();
    uint64_t page = page_start(end);
    return {end, reader.last_start(),
            page < start_.value ? "" : bytes.substr(page - start_.value, end.value - page)};
  }
  void pull(TimelineId, uint64_t, const WalSource& source) override {
    Launch launch;
    launch.program = "/usr/lib/postgresql/15/bin/pg_receivewal";
    launch.arguments = {"-D", folder_, "--synchronous", "-d",
                        fmt::format("host={} port={} user={} application_name={} options='{}'",
                                    source.host, source.port, source.user, source.application_name,
                                    with_login_secret(source.login_secret))};
    launch.folder = folder_;
    launch.log = folder_ / "log";
    MutexLock lock(mutex_);
    receiver_ = supervisor_.spawn(launch);
  }
  void stop_pull(TimelineId, uint64_t) override { stop(); }
  WalStatus status(TimelineId) override { return {term_, start_, {}}; }
  void wait_for_flush(TimelineId, Lsn lsn, Deadline deadline) override {
    if (refuse_flush) throw Error(Errc::timed_out, "no quorum");
    stop();
    Lsn end = begin_term({}, term_).end;
    if (end < lsn && !deadline.passed())
      throw Error(Errc::timed_out, "flushed {} of {}", end.str(), lsn.str());
  }

  void create_timeline(TimelineId, Lsn, uint64_t) override {}
  void delete_timeline(TimelineId) override {}
  void trim(TimelineId, Lsn) override {}
  std::string wal_host() override { return ""; }
  int wal_port() override { return 0; }
  Token grant_wal(TimelineId, WalConsumer) override { return {}; }

  std::atomic<bool> refuse_flush = false;

 private:
  void stop() {
    MutexLock lock(mutex_);
    if (!receiver_) return;
    receiver_->signal(SIGINT);
    receiver_->wait_end(Deadline::after(std::chrono::seconds(10)));
    receiver_ = nullptr;
  }
  std::string read_segments() {
    std::vector<fs::path> segments;
    for (const auto& entry : fs::directory_iterator(folder_))
      if (entry.path().filename().string().starts_with("0000")) segments.push_back(entry.path());
    std::sort(segments.begin(), segments.end());
    std::string bytes;
    for (const fs::path& segment : segments) bytes += read_file(segment);
    return bytes;
  }

  const fs::path folder_;
  const Lsn start_;
  std::atomic<uint64_t> term_ = 0;
  Supervisor supervisor_;
  Mutex mutex_;
  std::shared_ptr<Child> receiver_ GUARDED_BY(mutex_);
};

}  // namespace halogen::compute
