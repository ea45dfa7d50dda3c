#include "sim/power_loss.h"

#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>

#include "sim/compute_wal.h"
#include "sim/name_notes.h"
#include "sim/raw.h"
#include "sim/sector_notes.h"
#include "sim/tracker.h"

namespace halogen::sim {
namespace {

namespace fs = std::filesystem;

void prepare(const Disk& disk) {
  for (const char* part : {"sectors", "saved"}) {
    fs::create_directories(fs::path(disk.state) / part);
    std::error_code not_ours;
    fs::permissions(fs::path(disk.state) / part, fs::perms::all, not_ours);
    fs::permissions(disk.state, fs::perms::all, not_ours);
  }
}

std::string control_of(const Disk& disk) { return disk.state + "/control"; }

FilesByInode files_below(const std::string& root) {
  FilesByInode files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    struct stat status{};
    if (::lstat(entry.path().c_str(), &status) == 0 && S_ISREG(status.st_mode))
      files[status.st_ino] = entry.path();
  }
  return files;
}

// Of computes' data directories, in one order, so that a seed says everything.
std::set<fs::path> notes_of_computes(const std::string& root) {
  std::set<fs::path> folders;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_directory() && entry.path().filename() == kComputeNotes)
      folders.insert(entry.path());
  return folders;
}

std::vector<std::string> list_of(const char* variable) {
  std::vector<std::string> patterns;
  const char* text = std::getenv(variable);
  std::istringstream in(text != nullptr ? text : "");
  for (std::string pattern; std::getline(in, pattern, ':');) patterns.push_back(pattern);
  return patterns;
}

// For a whole platform, into which this is preloaded. What it runs inherits the variables.
__attribute__((constructor)) void track_by_environment() {
  const char* root = std::getenv("HALOGEN_POWER_ROOT");
  const char* state = std::getenv("HALOGEN_POWER_STATE");
  std::error_code error;
  if (root == nullptr || state == nullptr) return;
  if (fs::read_symlink("/proc/self/exe", error).filename() != "halogen") return;
  track_changes({root, state}, {.skipped = list_of("HALOGEN_POWER_SKIPPED"),
                                .not_synced = list_of("HALOGEN_POWER_NOT_SYNCED")});
}

}  // namespace

void track_changes(const Disk& disk, const Faults& faults) {
  prepare(disk);
  Tracker::set_current(new Tracker({fs::canonical(disk.root), disk.state}, faults));
}

void arm(const Disk& disk, const CutPoint& point) {
  prepare(disk);
  std::ostringstream text;
  text << point.count << ' ' << point.after << ' ' << point.step << ' ' << point.path << '\0';
  const std::string bytes = text.str();
  const std::string path = control_of(disk);
  int fd = raw::open_notes(path, O_RDWR);
  // The first byte last: it is what tells that there is something to read.
  if (raw::pwrite(fd, bytes.data() + 1, bytes.size() - 1, 1) < 0 ||
      raw::pwrite(fd, bytes.data(), 1, 0) < 0)
    give_up(path);
  ::close(fd);
}

void lose_power(const Disk& disk, uint64_t seed) {
  prepare(disk);
  Random random(seed);
  const std::string root = fs::canonical(disk.root);
  for (const fs::path& notes : notes_of_computes(root))
    SectorNotes(notes).lose(files_below(root), random);
  NameNotes(disk.state).lose(root, random);
  SectorNotes(disk.state + "/sectors").lose(files_below(root), random);
  raw::unlinkat(AT_FDCWD, control_of(disk).c_str(), 0);
}

}  // namespace halogen::sim

#pragma GCC visibility push(default)
// For tests in Python.
extern "C" void halogen_lose_power(const char* root, const char* state, uint64_t seed) {
  halogen::sim::lose_power({root, state}, seed);
}
extern "C" void halogen_arm_power_cut(const char* root, const char* state, const char* step,
                                      const char* path, uint64_t count, int after) {
  halogen::sim::arm({root, state}, {step, path, count, after != 0});
}
#pragma GCC visibility pop
