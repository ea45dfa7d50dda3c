// sector_notes.h: what the unsynced bytes of files were before, by inode.
//
// One file per inode, added to before each change and emptied by a sync. Not thread-safe.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>

namespace halogen::sim {

using Random = std::mt19937_64;
using FilesByInode = std::map<ino_t, std::filesystem::path>;

class SectorNotes {
 public:
  static constexpr size_t kSector = 512;

  explicit SectorNotes(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Before `size` bytes at `at` are written, or made zeros.
  void before_write(int fd, uint64_t at, uint64_t size);
  // Before the file gets the length `size`.
  void before_resize(int fd, uint64_t size);
  void synced(ino_t inode);

  // Takes back a random choice of what is noted; then nothing is.
  void lose(const FilesByInode& files, Random& random);

 private:
  class Lost;
  std::filesystem::path notes_of(ino_t inode) const;
  void note(int fd, ino_t inode, uint64_t at, uint64_t end, uint64_t old_size);

  const std::filesystem::path folder_;
};

}  // namespace halogen::sim
