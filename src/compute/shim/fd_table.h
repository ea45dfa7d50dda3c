// fd_table.h: which of the process's descriptors are segments of the manifest, or of WAL.
#pragma once
#include "compute/shim/manifest.h"

namespace halogen::shim {

constexpr int kMaxFds = 65536;

struct FdState {
  uint32_t entry = 0;       // Its index + 1, or 0: none of ours.
  uint32_t next_block = 0;  // Behind the last read: where a sequential scan goes on.
  uint8_t window = 0;       // Blocks asked for at the last miss.
  uint8_t streak = 0;       // Sequential misses since the reader last jumped.
  uint16_t generation = 0;  // Changes whenever the descriptor is opened anew.
  uint32_t wal = 0;         // A segment of WAL that is written in place (wal.h), or 0.
};

class FdTable {
 public:
  // The entry behind the descriptor, or kNoEntry.
  uint32_t entry(int fd) const {
    return fd >= 0 && fd < kMaxFds ? states_[fd].entry - 1 : kNoEntry;
  }
  FdState& state(int fd) { return states_[fd]; }

  uint32_t wal(int fd) const { return fd >= 0 && fd < kMaxFds ? states_[fd].wal : 0; }
  void set_wal(int fd, uint32_t segment) {
    if (fd >= 0 && fd < kMaxFds) states_[fd].wal = segment;
  }

  bool set(int fd, uint32_t entry) {
    if (fd < 0 || fd >= kMaxFds) return false;
    FdState& s = states_[fd];
    s.entry = entry + 1;
    s.wal = 0;
    s.next_block = kNoEntry;
    s.window = 0;
    s.streak = 0;
    ++s.generation;
    return true;
  }
  void clear(int fd) {
    if (entry(fd) != kNoEntry) states_[fd].entry = 0;
    if (wal(fd) != 0) states_[fd].wal = 0;
  }

 private:
  FdState states_[kMaxFds] = {};
};

// All zero, so it costs no page until it is used; static, see g_map.
extern constinit FdTable g_fds;

}  // namespace halogen::shim
