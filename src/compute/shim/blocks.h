// blocks.h: reads and writes of segments that may have absent blocks.
//
// `fd` is open on the segment `index` of g_map. All return 0 or an errno unless said otherwise.
#pragma once
#include <sys/uio.h>

#include "compute/shim/shared_map.h"

namespace halogen::shim {

// preadv(2): -1 and errno on failure. Blocks past the segment's end at boot are the local file's. A
// sequential reader gets the following blocks, too. What the disk has no room for is read all the
// same.
ssize_t read_blocks(int fd, uint32_t index, const iovec* parts, int count, off_t at);
// Makes the blocks that hold these bytes present; they may be evicted again.
int ensure_present(int fd, uint32_t index, off_t at, uint64_t bytes);
// Asks for the absent blocks and does not wait; they are installed when this process next uses the
// connection. Failures are silent: the later read tries again. False if all were present.
bool prefetch(int fd, uint32_t index, off_t at, uint64_t bytes);

// pwrite(2): -1 and errno on failure. Absent blocks become present with what is written; those only
// partly covered are fetched first.
ssize_t write_blocks(int fd, uint32_t index, const void* from, size_t n, off_t at);
// For readers and writers that go around us: makes the blocks that hold these bytes present, and
// nothing of the segment is evicted any more.
int keep_here(int fd, uint32_t index, off_t at, uint64_t bytes);

}  // namespace halogen::shim
