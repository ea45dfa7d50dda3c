// test_disk.h: a folder on a disk that loses power, for unit tests. Only tests include it.
#pragma once
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <random>

#include "sim/power_loss.h"

namespace halogen::sim {

// What a process has been told before it is killed, in memory that outlives it.
template <typename T>
class Testament {
 public:
  Testament()
      : kept_(static_cast<T*>(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (kept_ == MAP_FAILED) std::abort();
  }
  ~Testament() { ::munmap(kept_, sizeof(T)); }
  Testament(const Testament&) = delete;
  Testament& operator=(const Testament&) = delete;
  T* operator->() const { return kept_; }
  T& operator*() const { return *kept_; }

 private:
  T* const kept_;
};

class TestDisk {
 public:
  TestDisk() {
    std::string name = std::filesystem::temp_directory_path() / "halogen-disk-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~TestDisk() { std::filesystem::remove_all(folder_); }
  TestDisk(const TestDisk&) = delete;
  TestDisk& operator=(const TestDisk&) = delete;

  std::filesystem::path root() const { return folder_ / "root"; }
  // Syncs of these paths do nothing, as if the program had forgotten them.
  void forget_syncs_of(std::string pattern) { faults_.not_synced = {std::move(pattern)}; }

  // Calls run(seed) on an empty disk each time, until it returns a problem. Returns that, with the
  // seed; empty if there was none. Seeds are new each time; the environment may say how often
  // (HALOGEN_POWER_RUNS) and with which first one (HALOGEN_SEED).
  std::string first_problem(uint64_t runs, const std::function<std::string(uint64_t)>& run) {
    return first_problem_from(from_environment("HALOGEN_SEED", std::random_device()()),
                              from_environment("HALOGEN_POWER_RUNS", runs), run);
  }
  // With these seeds, always.
  std::string first_problem_from(uint64_t first, uint64_t runs,
                                 const std::function<std::string(uint64_t)>& run) {
    for (uint64_t seed = first; seed < first + runs; ++seed) {
      std::filesystem::remove_all(folder_);
      std::filesystem::create_directories(root());
      chance_.seed(seed);
      if (std::string problem = run(seed); !problem.empty())
        return problem + " (HALOGEN_SEED=" + std::to_string(seed) + " HALOGEN_POWER_RUNS=1)";
    }
    return "";
  }

  // Does `work` in a process of its own, which is killed at any one of its first `steps` steps (see
  // CutPoint) or ends with the work, and perhaps does it again; with 0 steps it is done to its end,
  // once. Then power is lost. Returns a problem if the work throws.
  std::string live_until_power_is_lost(uint64_t steps, const std::function<void()>& work) {
    do {
      if (steps > 0)
        arm(disk(), {.count = 1 + chance_() % (chance_() % 2 == 0 ? steps : kFewSteps)});
      const pid_t child = ::fork();
      if (child == 0) ::_exit(live(work));
      int status = 0;
      if (child < 0 || ::waitpid(child, &status, 0) != child) std::abort();
      const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      if (status != 0 && !killed) return "the process that was to be killed failed";
    } while (steps > 0 && chance_() % 3 == 0);
    lose_power(disk(), chance_());
    return "";
  }

  // Power fails again and again, also while a start mends what the last time has left; each time
  // `verify` tells what is wrong. Returns that, or what it throws; "" if nothing is.
  std::string live_through(uint64_t lives, uint64_t steps,
                           const std::function<void(uint64_t life)>& live,
                           const std::function<std::string()>& verify) {
    std::string problem;
    for (uint64_t life = 0; life < lives && problem.empty(); ++life) {
      problem = live_until_power_is_lost(steps, [&] { live(life); });
      try {
        if (problem.empty()) problem = verify();
      } catch (const std::exception& error) {
        problem = error.what();
      }
    }
    return problem;
  }

 private:
  // Often enough it ends while it mends what the time before has left.
  static constexpr uint64_t kFewSteps = 8;

  Disk disk() const { return {root(), folder_ / "state"}; }

  static uint64_t from_environment(const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
  }

  int live(const std::function<void()>& work) const {
    track_changes(disk(), faults_);
    try {
      work();
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
      return 1;
    }
    return 0;
  }

  std::filesystem::path folder_;
  Faults faults_;
  std::mt19937_64 chance_;
};

}  // namespace halogen::sim
