// Logins, wakes and uses per second with few and with many endpoints in the catalog, with a compute
// host that takes no time. Prints rows of a table in Markdown.
//
// Usage: bench_endpoints [endpoints ...]
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <semaphore>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "control/fakes.h"
#include "control/names.h"
#include "control/suspend.h"

namespace halogen::control {
namespace {

using std::chrono::steady_clock;

constexpr int kUsed = 10;  // As many are at work, however many there are.
constexpr int kAtATime = 64;

NewBranch some_branch(const Project& project) {
  NewBranch added;
  added.branch.id = new_branch_id();
  added.branch.project_id = project.id;
  added.branch.timeline = TimelineId::random();
  added.branch.name = "main";
  added.endpoint.id = new_endpoint_id();
  added.endpoint.project_id = project.id;
  added.endpoint.branch_id = added.branch.id;
  added.contents.roles = {true, {{"neondb_owner", "SCRAM-SHA-256$first", true}}};
  return added;
}

// How many of `ask(i, done)` are answered per second, with kAtATime under way.
template <typename Ask>
double per_second(int count, Ask ask) {
  std::counting_semaphore<> free(kAtATime);
  const auto began = steady_clock::now();
  for (int i = 0; i < count; ++i) {
    free.acquire();
    ask(i, [&free] { free.release(); });
  }
  for (int i = 0; i < kAtATime; ++i) free.acquire();
  return count / std::chrono::duration<double>(steady_clock::now() - began).count();
}

class World {
 public:
  World(const fs::path& home, int endpoints) : catalog_(home / "catalog.db") {
    for (int i = 0; i < endpoints; ++i) {
      Project project;
      project.id = new_project_id();
      project.tenant = TenantId::random();
      NewBranch added = some_branch(project);
      catalog_.add_project(project, added, {});
      if (i < kUsed) used_.push_back(added.endpoint.id);
    }
    manager_.start();
  }

  // Of a suspended endpoint: its roles are in the catalog.
  double logins_asleep() {
    return per_second(20'000, [this](int i, auto done) { log_in(i, done); });
  }
  double wakes() {
    return per_second(2'000, [this](int i, auto done) {
      const std::string& endpoint = used_[static_cast<size_t>(i) % used_.size()];
      manager_.wake(endpoint, [done](const Outcome<ComputeAddress>&) { done(); });
      manager_.begin_suspend(endpoint);
    });
  }
  double logins_awake() {
    for (const std::string& endpoint : used_) manager_.while_running(endpoint, [] {});
    return per_second(20'000, [this](int i, auto done) { log_in(i, done); });
  }
  double uses() {
    constexpr int kUses = 1'000'000;
    const auto began = steady_clock::now();
    for (int i = 0; i < kUses; ++i) {
      const std::string& endpoint = used_[static_cast<size_t>(i) % used_.size()];
      manager_.use_began(endpoint);
      manager_.use_ended(endpoint);
    }
    return kUses / std::chrono::duration<double>(steady_clock::now() - began).count();
  }

 private:
  template <typename Done>
  void log_in(int i, Done done) {
    manager_.role_secret(used_[static_cast<size_t>(i) % used_.size()], "neondb_owner",
                         [done](const Outcome<RoleSecret>&) { done(); });
  }

  Catalog catalog_;
  FakeHost host_;
  EndpointManager manager_{{.catalog = catalog_, .host = host_}};
  std::vector<std::string> used_;
};

void measure(int endpoints) {
  std::string folder = fs::temp_directory_path() / "halogen-endpoints-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) std::abort();
  {
    World world(folder, endpoints);
    const double asleep = world.logins_asleep();
    const double wakes = world.wakes();
    const double awake = world.logins_awake();
    fmt::print("| {} | {:.0f} | {:.0f} | {:.0f} | {:.0f} |\n", endpoints, asleep, awake, wakes,
               world.uses());
    std::fflush(stdout);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace halogen::control

int main(int argc, char** argv) {
  halogen::log::init(halogen::log::Level::warn);  // Not a line for each start and suspend.
  std::vector<int> counts;
  for (int i = 1; i < argc; ++i) counts.push_back(std::atoi(argv[i]));
  if (counts.empty()) counts = {10, 10'000};
  fmt::print(
      "| endpoints | logins/s, asleep | logins/s, awake | wakes and suspends/s | uses/s |\n");
  fmt::print("|---|---|---|---|---|\n");
  for (int count : counts) halogen::control::measure(count);
}
