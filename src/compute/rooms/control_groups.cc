#include "compute/rooms/control_groups.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iterator>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace halogen::compute {
namespace {

constexpr uint64_t kPlatformMemory = 512 << 20;  // Never a compute's, where there is that much.
constexpr uint64_t kPlatformWeight = 300;        // Of the processor: three times all computes'.
constexpr uint64_t kMostProcesses = 4096;        // Of one compute.
constexpr double kMemoryOfUnit = 4.0 * (1 << 30);
constexpr double kLeastUnits = 0.25;    // What the API allows,
constexpr double kMostUnits = 56;       // from and to.
constexpr double kWeightOfUnit = 400;   // So that the least one has the kernel's default, 100.
constexpr double kMostWeight = 10'000;  // The kernel's.
constexpr uint64_t kProcessorPeriod = 100'000;  // In microseconds; the kernel's default.

[[noreturn]] void refuse(std::string_view why) { throw Error(Errc::unavailable, "{}", why); }

// The kernel's files are there already, and are not ours to change in any other way.
void tell(const fs::path& file, const std::string& text) {
  write_all(open_file(file, O_WRONLY | O_CREAT, 0644).get(), as_bytes(text));
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

void give(const fs::path& path, const User& owner) {
  if (::chown(path.c_str(), owner.uid, owner.gid) != 0) throw system_error(errno, path.string());
}

// Delegated as the kernel describes it: the folder, and the files by which processes come in and
// children get controllers.
void make_delegated(const fs::path& group, const User& owner) {
  fs::create_directory(group);
  give(group, owner);
  for (const char* file : {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"})
    if (fs::exists(group / file)) give(group / file, owner);
}

// Of a controller that is in force; else nothing.
void set(const std::vector<std::string>& controllers, const fs::path& group, std::string_view file,
         const std::string& value) {
  for (const std::string& controller : controllers)
    if (file.starts_with(controller + ".")) tell(group / file, value);
}

bool holds_only_us(const fs::path& group) {
  return words_of(read_file(group / "cgroup.procs")) ==
         std::vector<std::string>{std::to_string(::getpid())};
}

// Where a file system of this type is mounted, by /proc/self/mountinfo; empty: nowhere.
fs::path mount_of(const std::string& type) {
  std::istringstream lines(read_file("/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> words = words_of(line);
    auto dash = std::find(words.begin(), words.end(), "-");
    if (words.end() - dash > 1 && dash[1] == type && words.size() > 4) return words[4];
  }
  return {};
}

}  // namespace

ControlGroup::~ControlGroup() { ::rmdir(folder_.c_str()); }

UniqueFd ControlGroup::open() const { return open_file(folder_, O_RDONLY | O_DIRECTORY); }

void ControlGroup::take(int pid) const { tell(folder_ / "cgroup.procs", std::to_string(pid)); }

void ControlGroup::limit(const ComputeShare& share) const {
  const double most = std::clamp(share.most_units, kLeastUnits, kMostUnits);
  const double least = std::clamp(share.least_units, kLeastUnits, most);
  const auto memory = static_cast<uint64_t>(most * kMemoryOfUnit);
  const auto quota = static_cast<uint64_t>(std::max(most, 1.0) * kProcessorPeriod);
  set(controllers_, folder_, "cpu.weight",
      std::to_string(std::lround(std::min(least * kWeightOfUnit, kMostWeight))));
  set(controllers_, folder_, "cpu.max", fmt::format("{} {}", quota, kProcessorPeriod));
  set(controllers_, folder_, "memory.max", std::to_string(std::min(memory, most_memory_)));
}

ControlGroups::Place ControlGroups::find_place(std::string name, User owner) {
  Place place{.tree = mount_of("cgroup2"), .name = std::move(name), .owner = owner};
  std::istringstream lines(read_file("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::/")) place.own = place.tree / line.substr(4);
  struct sysinfo machine{};
  if (::sysinfo(&machine) == 0) place.memory = machine.totalram * machine.mem_unit;
  return place;
}

ControlGroups::ControlGroups(const Place& place) : owner_(place.owner) {
  if (place.tree.empty() || place.own.empty()) refuse("no cgroup v2 is mounted");
  try {
    if (!fs::equivalent(place.own, place.tree) && holds_only_us(place.own)) {
      find_controllers(place.own);
      settle(place.own, place);
    } else if (::geteuid() == 0) {
      find_controllers(place.tree);
      tell(place.tree / "cgroup.subtree_control", switched_on());
      settle(place.tree / place.name, place);
    } else {
      refuse(
          "other processes are in our control group: `systemd-run --user --scope -p "
          "Delegate=yes` makes one");
    }
  } catch (const std::exception& error) {
    refuse(error.what());
  }
}

void ControlGroups::find_controllers(const fs::path& group) {
  const std::vector<std::string> there = words_of(read_file(group / "cgroup.controllers"));
  for (const char* name : {"cpu", "memory", "pids"})
    if (std::find(there.begin(), there.end(), name) != there.end()) controllers_.push_back(name);
  if (controllers_.empty()) refuse("cgroup v2 has no controllers here");
}

std::string ControlGroups::switched_on() const {
  return fmt::format("+{}", fmt::join(controllers_, " +"));
}

void ControlGroups::settle(const fs::path& group, const Place& place) {
  computes_ = group / "computes";
  for (const fs::path& made : {group, group / "platform", computes_})
    make_delegated(made, place.owner);
  // First out of it: a group with processes of its own has no children with controllers.
  tell(group / "platform" / "cgroup.procs", std::to_string(::getpid()));
  tell(group / "cgroup.subtree_control", switched_on());
  tell(computes_ / "cgroup.subtree_control", switched_on());
  const uint64_t reserve = std::min(kPlatformMemory, place.memory / 4);
  memory_of_compute_ = (place.memory - reserve) / 4 * 3;
  set(controllers_, group / "platform", "cpu.weight", std::to_string(kPlatformWeight));
  set(controllers_, computes_, "memory.max", std::to_string(place.memory - reserve));
  remove_left_over();
}

// A killed platform's: their processes ended with it.
void ControlGroups::remove_left_over() const {
  for (const auto& entry : fs::directory_iterator(computes_))
    if (entry.is_directory()) ::rmdir(entry.path().c_str());
}

std::string ControlGroups::controllers() const {
  return fmt::format("{}", fmt::join(controllers_, ", "));
}

std::unique_ptr<ControlGroup> ControlGroups::make_group(const std::string& id) const {
  const fs::path folder = computes_ / id;
  make_delegated(folder, owner_);
  auto group = std::make_unique<ControlGroup>(folder, controllers_, memory_of_compute_);
  set(controllers_, folder, "memory.max", std::to_string(memory_of_compute_));
  set(controllers_, folder, "pids.max", std::to_string(kMostProcesses));
  return group;
}

}  // namespace halogen::compute
