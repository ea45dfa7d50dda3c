// pending.h: what this process has asked the page service for, and who wants it how.
#pragma once
#include "compute/shim/shared_map.h"

namespace halogen::shim {

// Blocks of one chunk asked for and not answered yet.
struct Pending {
  uint64_t id;
  uint64_t lsn;
  uint32_t entry;
  uint32_t chunk;
  ChunkMask blocks;
  int fd;  // Through which to install, if it still is the same open file.
  uint16_t generation;
  bool compare;  // They are here, and to be given up if storage has the same.
};

// A block that its reader takes from memory if the local file cannot hold it.
struct DirectRead {
  uint32_t entry = kNoEntry;
  uint32_t block = 0;
  char* page = nullptr;  // Null: nobody wants it that way.
  bool done = false;
};

}  // namespace halogen::shim
