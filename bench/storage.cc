// Storage alone: how fast WAL goes in and pages come out. Prints rows of tables in Markdown.
//
// A stock server makes WAL; then its walsender, which has nothing else to do, feeds a pageserver.
// For comparison the same server replays the same WAL by crash recovery. Pages are asked for as a
// compute asks, over the page service's socket; the page cache is so small that it does not answer.
//
// Usage: bench_storage [transactions of pgbench, per client]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "net/socket.h"
#include "pageserver/pageserver.h"
#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/redo_pool.h"
#include "pageserver/redo/redo_test_env.h"
#include "postgres/stock_cluster.h"
#include "protocol/page_service.h"

namespace halogen::pageserver {
namespace {

using halogen::testing::kPostgresBin;
using halogen::testing::StockCluster;

constexpr uint32_t kDatabase = 5;  // "postgres"
constexpr uint32_t kChainPages = 1000;
constexpr int kReads = 8000;
constexpr const char* kSettings =
    "-c autovacuum=off -c full_page_writes=off -c synchronous_commit=off -c checkpoint_timeout=1d "
    "-c max_wal_size=100GB -c max_connections=50";

Deadline in_minutes() { return Deadline::after(std::chrono::minutes(5)); }

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double cpu() const { return cpu_seconds() - cpu_; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double cpu_ = cpu_seconds();
};

std::string one_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text;
}

// A compute's connection to the page service.
class PageClient {
 public:
  // Reads at the end of what has arrived.
  PageClient(Pageserver& server, TimelineId timeline)
      : server_(server), lsn_(server.timeline(timeline).last_record_lsn) {
    token_ = server.open_session(timeline, 1, lsn_);
    socket_ = net::connect_unix(server.page_service_socket(), in_minutes());
    Writer hello;
    hello.put(PageHello{.token = token_});
    socket_.send_all(hello.view());
    std::string reply(sizeof(PageHelloReply), '\0');
    socket_.recv_exact(std::as_writable_bytes(std::span(reply)), in_minutes());
  }
  ~PageClient() { server_.close_session(token_); }
  PageClient(const PageClient&) = delete;
  PageClient& operator=(const PageClient&) = delete;

  void read(const RelTag& tag, uint32_t block, uint32_t pages) {
    Writer out;
    out.put(PageRequest{++id_, lsn_.value, 60'000, 1}).put(PageRange{{tag, block}, pages});
    socket_.send_all(out.view());
    buffer_.resize(sizeof(PageReply) + size_t{pages} * kPageSize);
    socket_.recv_exact(std::as_writable_bytes(std::span(buffer_)), in_minutes());
    PageReply reply = load<PageReply>(as_bytes(buffer_).data());
    if (reply.status != PageStatus::ok)
      throw Error(Errc::internal, "the page service answers {}", static_cast<int>(reply.status));
  }

 private:
  Pageserver& server_;
  const Lsn lsn_;
  PageToken token_;
  net::Socket socket_;
  uint64_t id_ = 0;
  std::string buffer_;
};

// How long reads took, in microseconds.
struct Latencies {
  std::vector<double> all;
  double seconds = 0;

  double at(double part) {
    auto place = all.begin() + static_cast<ptrdiff_t>(part * static_cast<double>(all.size() - 1));
    std::nth_element(all.begin(), place, all.end());
    return *place;
  }
};

// Our own code, or always a process of Postgres.
class SwitchedRedo : public Redo {
 public:
  explicit SwitchedRedo(RedoPool& processes)
      : processes_(processes), native_(processes, NativeRedo::Mode::on) {}

  void use_processes() { now_ = &processes_; }
  std::string replay(const PageKey& key, std::optional<Bytes> base,
                     std::span<const RedoRecord> records, Deadline deadline) override {
    return now_.load()->of(tenant_).replay(key, base, records, deadline);
  }
  Redo& of(TenantId /*tenant*/) override { return *this; }

 private:
  RedoPool& processes_;
  NativeRedo native_;
  std::atomic<Redo*> now_ = &native_;
  const TenantId tenant_ = TenantId::random();
};

class StorageBench {
 public:
  explicit StorageBench(int transactions) : transactions_(transactions) {
    stock_.start(kSettings);
    stock_.sql(fmt::format("CREATE ROLE \"{}\" LOGIN REPLICATION;", id_.str()));
    stock_.stop();
    Pageserver::Options options;
    options.home = folder_.path() / "home";
    options.page_socket = folder_.path() / "pages";
    options.page_cache_bytes = 1 << 20;
    server_ = std::make_unique<Pageserver>(options, redo_);
    start_ = stock_.end();
    server_->import_template(15, stock_.data(), start_);
    server_->create_timeline(TenantId::random(), id_, server_->template_timeline(15).timeline,
                             start_, in_minutes());
    stock_.start(kSettings);
  }

  void run() {
    make_wal();
    ingest();
    fmt::print("\n| page reads over the page service, one client | pages/s |\n|---|---|\n");
    read_pages("chain_10", kChainPages, 1, "chains of 10, in memory, one at a time");
    read_pages("chain_10", kChainPages, 100, "chains of 10, in memory, 100 in a request");
    flush();
    const uint32_t pages = std::min<uint32_t>(pages_of("pgbench_accounts"), 15'000);
    read_pages("pgbench_accounts", pages, 1, "pgbench's accounts, from files, one at a time");
    read_pages("pgbench_accounts", pages, 128, "pgbench's accounts, from files, 128 in a request");
    fmt::print(
        "\n| a page that is not cached, us: p50 / p99 (pages/s) | 1 client | 8 | 32 "
        "|\n|---|---|---|---|\n");
    show_latencies("our own code");
    redo_.use_processes();
    show_latencies("a process of Postgres");
    compare_with_recovery();
  }

 private:
  void make_wal() {
    std::string target = fmt::format("-h {} -U postgres postgres", stock_.folder().string());
    stock_.as_postgres(fmt::format("{}pgbench -i -q -s 10 {}", kPostgresBin, target));
    stock_.as_postgres(fmt::format("{}pgbench -n -c 4 -j 2 -M prepared -t {} {}", kPostgresBin,
                                   transactions_, target));
    for (int length : {1, 10, 100}) make_chains(length);
    parts_.emplace_back("pgbench -i, TPC-B, row locks", flushed());
    stock_.sql(
        "CREATE TABLE narrow (id int, pad text);"
        "INSERT INTO narrow SELECT i, repeat('x', 100) FROM generate_series(1, 500000) i;");
    parts_.emplace_back("rows of 100 bytes", flushed());
    stock_.sql(
        "CREATE TABLE wide (id int, pad text); ALTER TABLE wide ALTER pad SET STORAGE plain;"
        "INSERT INTO wide SELECT i, repeat('x', 8000) FROM generate_series(1, 12000) i;");
    parts_.emplace_back("rows of 8 kB", flushed());
    end_ = parts_.back().second;
  }
  Lsn flushed() {
    stock_.sql("SET synchronous_commit = on; CREATE TABLE last(); DROP TABLE last;");
    return *Lsn::parse(one_line(stock_.sql("SELECT pg_current_wal_flush_lsn();")));
  }

  // Pages that take `length` records since they were empty: the row, and in-place changes of it.
  void make_chains(int length) {
    std::string script = fmt::format(
        "CREATE TABLE chain_{0} (id int, n int, pad text) WITH (fillfactor = 10);\n"
        "ALTER TABLE chain_{0} ALTER pad SET STORAGE plain;\n"
        "INSERT INTO chain_{0} SELECT i, 0, repeat('x', 1000) FROM generate_series(1, {1}) i;\n",
        length, kChainPages);
    // A lock and its release are one record each that changes the page and adds nothing to it.
    for (int i = 1; i < length; ++i)
      script +=
          fmt::format("SELECT count(*) FROM (SELECT 1 FROM chain_{} FOR UPDATE) x;\n", length);
    stock_.sql(script);
  }

  void ingest() {
    fmt::print("| WAL ingest, files of 64 MB written meanwhile | MB | MB/s | CPU s per GB |\n");
    fmt::print("|---|---|---|---|\n");
    Stopwatch whole;
    server_->attach_wal(id_, stock_.folder().string(), 5432);
    Lsn from = start_;
    for (const auto& [what, end] : parts_) {
      Stopwatch watch;
      server_->wait_for_lsn(id_, end, in_minutes());
      const double megabytes = static_cast<double>(end - from) / 1e6;
      fmt::print("| {} | {:.0f} | {:.0f} | {:.1f} |\n", what, megabytes,
                 megabytes / watch.seconds(), watch.cpu() / megabytes * 1000);
      from = end;
    }
    ingest_rate_ = static_cast<double>(end_ - start_) / 1e6 / whole.seconds();
  }

  RelTag tag_of(const std::string& table) {
    std::string node = stock_.sql(fmt::format("SELECT pg_relation_filenode('{}');", table));
    return RelTag::relation(1663, kDatabase, static_cast<uint32_t>(std::stoul(node)), Fork::main);
  }
  uint32_t pages_of(const std::string& table) {
    std::string bytes = stock_.sql(fmt::format("SELECT pg_relation_size('{}');", table));
    return static_cast<uint32_t>(std::stoul(bytes) / kPageSize);
  }

  void read_pages(const std::string& table, uint32_t count, uint32_t batch,
                  const std::string& what) {
    RelTag tag = tag_of(table);
    PageClient client(*server_, id_);
    Stopwatch watch;
    for (uint32_t at = 0; at < count; at += batch)
      client.read(tag, at, std::min(batch, count - at));
    fmt::print("| {} | {:.0f} |\n", what, count / watch.seconds());
  }

  // Pages in an order of chance, by so many clients at once.
  Latencies latencies(const RelTag& tag, int clients) {
    std::vector<std::vector<double>> each(static_cast<size_t>(clients));
    Stopwatch whole;
    std::vector<std::jthread> threads;
    for (auto& mine : each)
      threads.emplace_back([&, seed = threads.size()] {
        PageClient client(*server_, id_);
        std::mt19937 chance(static_cast<unsigned>(seed));
        for (int i = 0; i < kReads / clients; i++) {
          Stopwatch watch;
          client.read(tag, static_cast<uint32_t>(chance() % kChainPages), 1);
          mine.push_back(watch.seconds() * 1e6);
        }
      });
    threads.clear();
    Latencies answer{.all = {}, .seconds = whole.seconds()};
    for (const auto& mine : each) answer.all.insert(answer.all.end(), mine.begin(), mine.end());
    return answer;
  }

  void show_latencies(std::string_view by) {
    for (int length : {1, 10, 100}) {
      fmt::print("| {} records, by {} |", length, by);
      for (int clients : {1, 8, 32}) {
        Latencies measured = latencies(tag_of(fmt::format("chain_{}", length)), clients);
        const double rate = static_cast<double>(measured.all.size()) / measured.seconds;
        fmt::print(" {:.0f} / {:.0f} ({:.0f}) |", measured.at(0.5), measured.at(0.99), rate);
      }
      fmt::print("\n");
    }
  }

  void flush() {
    Stopwatch watch;
    server_->flush(id_, Deadline::after(std::chrono::minutes(1)));
    fmt::print("| (the rest is written to files in {:.2f} s) | |\n", watch.seconds());
  }

  // The server's log line after a crash: "redo done at 0/3000028 system usage: CPU: user: 0.10 s,
  // system: 0.02 s, elapsed: 0.13 s".
  void compare_with_recovery() {
    server_.reset();
    stock_.stop("immediate");
    stock_.start(kSettings);
    std::string log = stock_.log();
    size_t at = log.rfind("redo done at");
    size_t elapsed = at == std::string::npos ? at : log.find("elapsed: ", at);
    if (elapsed == std::string::npos) throw Error(Errc::internal, "no recovery in the log");
    double seconds = std::max(std::strtod(log.c_str() + elapsed + 9, nullptr), 0.01);
    double rate = static_cast<double>(end_ - start_) / 1e6 / seconds;
    fmt::print(
        "\n| against crash recovery of the same WAL | MB/s | ratio |\n|---|---|---|\n"
        "| stock server's redo | {:.0f} | {:.2f} |\n",
        rate, ingest_rate_ / rate);
  }

  const int transactions_;
  testing::TestFolder folder_;
  RedoPool processes_{folder_.pool_options()};
  SwitchedRedo redo_{processes_};
  StockCluster stock_;
  TimelineId id_ = TimelineId::random();
  Lsn start_;
  std::vector<std::pair<std::string, Lsn>> parts_;  // Of the WAL, and where each ends.
  Lsn end_;
  double ingest_rate_ = 0;
  std::unique_ptr<Pageserver> server_;  // Ends before the server that feeds it.
};

}  // namespace
}  // namespace halogen::pageserver

int main(int argc, char** argv) {
  try {
    halogen::pageserver::StorageBench(argc > 1 ? std::atoi(argv[1]) : 10'000).run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_storage: %s\n", error.what());
    return 1;
  }
}
