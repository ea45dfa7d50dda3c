// power_loss.h: a disk that forgets what was not synced.
//
// The changes that a process makes below a folder are noted with what they replaced, until they are
// synced: bytes of files by sector, names by folder. Losing power takes back a random choice of
// what is noted: sectors one by one (a write is torn, and two writes survive in either order), a
// file's length, and in each folder all changes of names from a random one on. A sync is not passed
// on to the kernel: nothing here depends on the real disk.
//
// The notes are files in `state`, so that they outlive the process, which may be killed at any
// moment, and are added to by the next one. One process at a time changes files below `root`.
//
// Used in two ways: linked into a test program, which calls track_changes() in a child and
// lose_power() when that is dead; or preloaded into a whole platform (libhalogen_power_loss.so),
// with the environment that README.md lists.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace halogen::sim {

struct Disk {
  std::string root;
  std::string state;  // On the same file system, not below `root`.
};

struct Faults {
  // Paths below `root`, with wildcards. What is skipped is not noted, so it is never lost; a sync
  // of what is not synced does nothing, which is the fault that a test must find.
  std::vector<std::string> skipped;
  std::vector<std::string> not_synced;
};

// From now on the changes of this process are noted.
void track_changes(const Disk& disk, const Faults& faults);

// Where the process kills itself: at a step of this kind (write, truncate, sync, create, unlink,
// rename, mkdir, rmdir) on a path below `root`, both with wildcards; at the count-th such one.
struct CutPoint {
  std::string step = "*";
  std::string path = "*";
  uint64_t count = 1;
  bool after = false;  // The step is still made.
};
// Takes effect at once in a process that tracks changes, or in the next one.
void arm(const Disk& disk, const CutPoint& point);

// Requires that no process is tracking changes. What is left counts as synced.
void lose_power(const Disk& disk, uint64_t seed);

}  // namespace halogen::sim
