// install.h: writing fetched pages into local files. The correctness of the shim rests here.
#pragma once
#include "compute/shim/pending.h"

namespace halogen::shim {

// Writes those of the chunk's `blocks` that are still absent; `pages` holds all of them one after
// another. Returns 0 or an errno. Never overwrites a present block: since the fetch was sent it may
// have been read, changed and written back by anybody. If the file cannot take it, the reader gets
// its block by `direct` instead, as it was while the chunk was locked.
int install_pages(const Pending& request, const ChunkMask& blocks, const char* pages,
                  DirectRead& direct);

uint16_t generation_of(int fd);

}  // namespace halogen::shim
