// What branches at rest cost: memory, threads and open files of pageserver and safekeeper, and how
// long they take to start. Prints rows of a table in Markdown.
//
// Usage: bench_idle [branches]
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "pageserver/fake_redo.h"
#include "pageserver/pageserver.h"
#include "postgres/stock_cluster.h"
#include "safekeeper/safekeeper.h"

namespace halogen {
namespace {

using pageserver::Pageserver;
using safekeeper::Safekeeper;

uint64_t private_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10);
  return 0;
}

size_t entries_of(const fs::path& folder) {
  auto all = fs::directory_iterator(folder);
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class Storage {
 public:
  explicit Storage(const fs::path& home)
      : keeper_({.home = home / "safekeeper", .socket_folder = home}),
        server_({.home = home / "pageserver",
                 .page_socket = home / "pages",
                 .following = {.wal_end = [this](TimelineId id) { return keeper_.known_end(id); }}},
                redo_) {}

  void make(int branches) {
    halogen::testing::StockCluster fresh;
    const Lsn lsn = fresh.end();
    server_.import_template(15, fresh.data(), lsn);
    const TimelineId base = server_.template_timeline(15).timeline;
    for (int i = 0; i < branches; i++) {
      const TimelineId id = TimelineId::random();
      server_.create_timeline(TenantId::random(), id, base, lsn,
                              Deadline::after(std::chrono::minutes(1)));
      keeper_.create_timeline(id, lsn, 1);
      server_.attach_wal(id, keeper_.wal_host(), keeper_.wal_port());
    }
  }
  Pageserver& server() { return server_; }

 private:
  Safekeeper keeper_;
  pageserver::FakeRedo redo_;
  Pageserver server_;
};

void measure(const fs::path& home, int branches) {
  const auto begin = std::chrono::steady_clock::now();
  Storage storage(home);
  const std::chrono::duration<double> start = std::chrono::steady_clock::now() - begin;
  ::malloc_trim(0);
  fmt::print("| {} | {:.2f} | {:.1f} | {} | {} | {} |\n", branches, start.count(),
             static_cast<double>(private_kilobytes()) / 1024, entries_of("/proc/self/task"),
             entries_of("/proc/self/fd"), storage.server().counts().awake);
  std::fflush(stdout);
}

// In a process of its own, so that what one has left is not counted to the next.
void in_child(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    std::fflush(stdout);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace halogen

int main(int argc, char** argv) {
  using namespace halogen;
  const int branches = argc > 1 ? std::atoi(argv[1]) : 10'000;
  fmt::print(
      "| branches | start, s | private memory, MB | threads | files | awake |\n"
      "|---|---|---|---|---|---|\n");
  std::fflush(stdout);
  for (int count : {0, branches}) {
    pageserver::TempFolder folder;
    in_child([&] { Storage(folder.path()).make(count); });
    in_child([&] { measure(folder.path(), count); });
  }
}
