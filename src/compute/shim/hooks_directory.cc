// hooks_directory.cc: folders list the segments whose files have not been made, as if they were.
//
// What was unmade when the folder was opened is told from the manifest, after the kernel's own
// names; and left out of those, where it has been made meanwhile. So each is told once.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "compute/shim/hook.h"
#include "compute/shim/segment_path.h"
#include "compute/shim/segments.h"
#include "compute/shim/server_state.h"

namespace halogen::shim {
namespace {

// A folder that is being read.
struct Listing {
  DIR* dir = nullptr;  // Null: free.
  const Directory* directory = nullptr;
  uint8_t* unmade = nullptr;  // Per entry of the directory: it was so at opendir().
  uint32_t next = 0;          // Entries before it have been told.
  dirent entry = {};
};

// As many as one process of Postgres' reads at once, and more. Postgres' own limit of descriptors
// for them is below.
constexpr int kMost = 16;
constinit Listing g_listings[kMost];

Listing* listing_of(const DIR* dir) {
  for (Listing& listing : g_listings)
    if (listing.dir == dir) return &listing;
  return nullptr;
}

// `listing` is null where there is no more room for one.
bool begin(Listing* listing, const Directory& directory) {
  if (listing == nullptr) return false;
  auto* unmade = static_cast<uint8_t*>(::calloc(directory.entries + 1, 1));
  if (unmade == nullptr) return false;
  for (uint32_t i = 0; i < directory.entries; ++i) unmade[i] = is_unmade(directory.first_entry + i);
  *listing = {.directory = &directory, .unmade = unmade};
  return true;
}

bool told_from_manifest(const Listing& listing, const char* name) {
  const Directory& directory = *listing.directory;
  char path[kSegmentPathMax + sizeof(dirent::d_name)];
  format_segment(g_map.entry(directory.first_entry).id, g_map.header().version_directory, path);
  ::strcpy(::strrchr(path, '/') + 1, name);
  uint32_t index = g_map.find(path);
  uint32_t place = index - directory.first_entry;  // Past its entries: it was added since boot.
  return index != kNoEntry && place < directory.entries && listing.unmade[place] != 0 &&
         !is_dead(index);
}

dirent* tell_next(Listing& listing) {
  for (const Directory& directory = *listing.directory; listing.next < directory.entries;) {
    uint32_t i = listing.next++;
    uint32_t index = directory.first_entry + i;
    if (listing.unmade[i] == 0 || is_dead(index)) continue;
    char path[kSegmentPathMax];
    format_segment(g_map.entry(index).id, g_map.header().version_directory, path);
    ::strcpy(listing.entry.d_name, ::strrchr(path, '/') + 1);
    listing.entry.d_type = DT_REG;
    listing.entry.d_reclen = sizeof(dirent);
    return &listing.entry;
  }
  return nullptr;
}

}  // namespace

extern "C" {

// The postmaster looks for temporary files only, at start; those are never in the manifest.
DIR* hook_opendir(const char* path) HALOGEN_HOOK("opendir");
DIR* hook_opendir(const char* path) {
  static constinit DIR* (*next)(const char*) = nullptr;
  if (next == nullptr) next = next_symbol<DIR* (*)(const char*)>("opendir");
  Directory* directory = g_is_postmaster ? nullptr : g_map.find_directory(path);
  if (directory == nullptr || directory->entries == 0) return next(path);
  Listing* listing = listing_of(nullptr);
  if (!begin(listing, *directory)) {
    if (int error = make_directory(*directory)) {
      errno = error;
      return nullptr;
    }
    return next(path);
  }
  listing->dir = next(path);
  if (listing->dir == nullptr) ::free(listing->unmade);
  return listing->dir;
}

dirent* hook_readdir(DIR* dir) HALOGEN_HOOK("readdir");
dirent* hook_readdir(DIR* dir) {
  static constinit dirent* (*next)(DIR*) = nullptr;
  if (next == nullptr) next = next_symbol<dirent* (*)(DIR*)>("readdir");
  Listing* listing = listing_of(dir);
  int before = errno;
  dirent* entry;
  do {
    errno = 0;
    entry = next(dir);
  } while (entry != nullptr && listing != nullptr && told_from_manifest(*listing, entry->d_name));
  if (entry != nullptr || errno != 0) return entry;
  errno = before;
  return listing == nullptr ? nullptr : tell_next(*listing);
}
dirent* hook_readdir64(DIR* dir) HALOGEN_ALIAS("readdir64", "readdir");

int hook_closedir(DIR* dir) HALOGEN_HOOK("closedir");
int hook_closedir(DIR* dir) {
  static constinit int (*next)(DIR*) = nullptr;
  if (next == nullptr) next = next_symbol<int (*)(DIR*)>("closedir");
  if (Listing* listing = listing_of(dir)) {
    ::free(listing->unmade);
    *listing = {};
  }
  return next(dir);
}

}  // extern "C"

}  // namespace halogen::shim
