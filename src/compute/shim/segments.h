// segments.h: making the manifest's files when they are first named, and ending them.
//
// All return 0 or an errno. `index` is an entry of g_map.
#pragma once
#include <sys/stat.h>

#include "compute/shim/shared_map.h"

namespace halogen::shim {

// Makes the sparse file at its right size unless that has been done. ENOENT for a dead segment is
// not an error here: returns 0 and the caller's own call decides.
int make_segment(uint32_t index);
// All segments of a directory.
int make_directory(Directory& directory);
// As fstatat() tells of a segment whose file has not been made, were it there.
int stat_unmade(uint32_t index, struct stat* out);

// Blocks [first, first + count) will not be installed or evicted any more: storage's content of
// them is history. To be called before the file is truncated, written whole or removed.
void keep_local(uint32_t index, uint32_t first, uint32_t count);

int unlink_segment(uint32_t index, const char* path);
// `fd` is open on the segment, and in g_fds.
int ftruncate_segment(uint32_t index, int fd, off_t size);
// The name now belongs to a file that has nothing to do with the segment.
void mark_dead(uint32_t index);

inline bool is_unmade(uint32_t index) {
  return g_map.entry(index).state.load(std::memory_order_acquire) == kNotMade;
}
inline bool is_dead(uint32_t index) {
  return g_map.entry(index).state.load(std::memory_order_acquire) == kDead;
}

}  // namespace halogen::shim
