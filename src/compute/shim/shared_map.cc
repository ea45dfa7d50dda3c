#include "compute/shim/shared_map.h"

#include <stdarg.h>
#include <sys/file.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "compute/shim/sys.h"

namespace halogen::shim {

constinit SharedMap g_map;

bool SharedMap::open(const char* file, const char* data_directory, char* why, size_t why_size) {
  size_t length = std::strlen(data_directory);
  while (length > 1 && data_directory[length - 1] == '/') --length;
  if (data_directory[0] != '/' || length >= sizeof data_directory_) {
    std::snprintf(why, why_size, "%s is not an absolute path of a data directory", data_directory);
    return false;
  }
  // The descriptor stays open in every child: the file lock ends with the last of them, so a second
  // postmaster cannot start among the orphans of the first.
  int fd = sys::open(file, O_RDWR | O_CLOEXEC);
  struct stat info;
  if (fd < 0 || ::fstat(fd, &info) != 0) {
    std::snprintf(why, why_size, "cannot open %s: %s", file, std::strerror(errno));
    return false;
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    std::snprintf(why, why_size, "%s is used by another postmaster or its children", file);
    return false;
  }
  auto size = static_cast<uint64_t>(info.st_size);
  if (size < sizeof(ManifestHeader)) {
    std::snprintf(why, why_size, "%s is not a manifest", file);
    return false;
  }
  void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) {
    std::snprintf(why, why_size, "cannot map %s: %s", file, std::strerror(errno));
    return false;
  }
  base_ = static_cast<char*>(map);
  if (!valid(size, why, why_size)) {
    base_ = nullptr;
    return false;
  }
  const ManifestHeader& h = header();
  entries_ = reinterpret_cast<Entry*>(base_ + h.entries_at);
  directories_ = reinterpret_cast<Directory*>(base_ + h.directories_at);
  hash_ = reinterpret_cast<const uint32_t*>(base_ + h.hash_at);
  locks_ = reinterpret_cast<Lock*>(base_ + h.locks_at);
  present_ = reinterpret_cast<std::atomic<uint64_t>*>(base_ + h.present_at);
  written_ = reinterpret_cast<std::atomic<uint64_t>*>(base_ + h.written_at);
  std::memcpy(data_directory_, data_directory, length);
  data_directory_length_ = length;

  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  for (uint32_t i = 0; i < kLocks; ++i) pthread_mutex_init(&locks_[i].mutex, &attributes);
  return true;
}

bool SharedMap::valid(uint64_t size, char* why, size_t why_size) const {
  const ManifestHeader& h = header();
  if (h.magic != kManifestMagic || h.version != kManifestVersion) {
    std::snprintf(why, why_size, "the manifest has magic %llx, version %u; wanted %llx, %u",
                  static_cast<unsigned long long>(h.magic), h.version,
                  static_cast<unsigned long long>(kManifestMagic), kManifestVersion);
    return false;
  }
  auto fits = [&](uint64_t at, uint64_t count, uint64_t each) {
    return at % 8 == 0 && at >= sizeof(ManifestHeader) && at <= size && count <= size &&
           count * each <= size - at;
  };
  bool sound = h.file_bytes == size && fits(h.directories_at, h.directories, sizeof(Directory)) &&
               fits(h.entries_at, h.entries, sizeof(Entry)) &&
               fits(h.hash_at, h.hash_slots, sizeof(uint32_t)) &&
               fits(h.locks_at, kLocks, sizeof(Lock)) && h.locks_at % 64 == 0 &&
               fits(h.present_at, h.bitmap_words, 8) && fits(h.written_at, h.bitmap_words, 8) &&
               h.hash_slots > h.entries && (h.hash_slots & (h.hash_slots - 1)) == 0 &&
               h.socket_path[sizeof h.socket_path - 1] == 0 &&
               h.version_directory[sizeof h.version_directory - 1] == 0;
  if (!sound) std::snprintf(why, why_size, "the manifest is damaged");
  return sound;
}

const char* SharedMap::relative(const char* path) const {
  if (path[0] != '/') return path;
  if (std::strncmp(path, data_directory_, data_directory_length_) != 0) return nullptr;
  path += data_directory_length_;
  return *path == '/' ? path + 1 : nullptr;
}

uint32_t SharedMap::find(const char* path) const {
  if (base_ == nullptr || path == nullptr) return kNoEntry;
  const char* name = relative(path);
  SegmentId id;
  if (name == nullptr || !parse_segment(name, &id)) return kNoEntry;
  return find(id);
}

uint32_t SharedMap::find(const SegmentId& id) const {
  uint32_t mask = header().hash_slots - 1;
  for (auto slot = static_cast<uint32_t>(hash_of(id)) & mask; hash_[slot] != 0;
       slot = (slot + 1) & mask) {
    uint32_t index = hash_[slot] - 1;
    if (entries_[index].id == id) return index;
  }
  return kNoEntry;
}

Directory* SharedMap::find_directory(const char* path) const {
  if (base_ == nullptr || path == nullptr) return nullptr;
  const char* name = relative(path);
  DirectoryId id;
  if (name == nullptr || !parse_directory(name, &id)) return nullptr;
  for (uint32_t i = 0; i < header().directories; ++i) {
    Directory& d = directories_[i];
    if (DirectoryId{d.kind, d.fork, d.spc, d.db} == id) return &d;
  }
  return nullptr;
}

// The wanted blocks whose bits are not set.
static ChunkMask without(const ChunkMask& wanted, const std::atomic<uint64_t>* bits) {
  ChunkMask mask;
  for (uint32_t w = 0; w < kChunkWords; ++w) mask.words[w] = wanted.words[w] & ~bits[w].load();
  return mask;
}

bool SharedMap::present(uint32_t index, uint32_t block) const {
  return present_[word_of(index, block)].load() >> (block % 64) & 1;
}

ChunkMask SharedMap::absent(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const {
  return without(wanted, present_ + word_of(index, chunk * kChunkBlocks));
}

void SharedMap::set_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  uint64_t at = word_of(index, chunk * kChunkBlocks);
  for (uint32_t w = 0; w < kChunkWords; ++w)
    if (blocks.words[w] != 0) present_[at + w].fetch_or(blocks.words[w]);
}

void SharedMap::clear_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  uint64_t at = word_of(index, chunk * kChunkBlocks);
  for (uint32_t w = 0; w < kChunkWords; ++w)
    if (blocks.words[w] != 0) present_[at + w].fetch_and(~blocks.words[w]);
}

bool SharedMap::written(uint32_t index, uint32_t block) const {
  return written_[word_of(index, block)].load() >> (block % 64) & 1;
}

ChunkMask SharedMap::unwritten(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const {
  return without(wanted, written_ + word_of(index, chunk * kChunkBlocks));
}

void SharedMap::set_written(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  uint64_t at = word_of(index, chunk * kChunkBlocks);
  int64_t no_longer_clean = 0;
  for (uint32_t w = 0; w < kChunkWords; ++w) {
    uint64_t bits = blocks.words[w];
    if ((written_[at + w].load() & bits) == bits) continue;
    uint64_t fresh = bits & ~written_[at + w].fetch_or(bits);
    no_longer_clean += __builtin_popcountll(fresh & present_[at + w].load());
  }
  if (no_longer_clean != 0 && can_evict(entries_[index]))
    header().cached.fetch_sub(no_longer_clean, std::memory_order_relaxed);
}

void SharedMap::set_written(uint32_t index, uint32_t first, uint32_t count) const {
  for (uint32_t block = first; block < first + count;) {
    uint32_t chunk = block / kChunkBlocks;
    uint32_t end = (chunk + 1) * kChunkBlocks;
    if (end > first + count) end = first + count;
    set_written(index, chunk, ChunkMask::range(block % kChunkBlocks, end - block));
    block = end;
  }
}

bool SharedMap::has_clean(uint64_t numbered_chunk) const {
  uint64_t at = numbered_chunk * kChunkWords;
  for (uint64_t w = at; w < at + kChunkWords; ++w)
    if ((present_[w].load(std::memory_order_relaxed) &
         ~written_[w].load(std::memory_order_relaxed)) != 0)
      return true;
  return false;
}

uint32_t SharedMap::entry_of(uint64_t numbered_chunk) const {
  uint64_t bit = numbered_chunk * kChunkBlocks;
  uint32_t low = 0, high = header().entries;  // The last one that begins at or before the bit.
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    (entries_[middle].first_bit <= bit ? low : high) = middle;
  }
  return low;
}

ChunkLock::ChunkLock(const SharedMap& map, uint32_t index, uint32_t chunk) {
  uint64_t hash = (uint64_t{index} << 32 | chunk) * 0x9E3779B97F4A7C15u;
  mutex_ = &map.locks_[hash >> 32 & (kLocks - 1)].mutex;
  int error = pthread_mutex_lock(mutex_);
  if (error == EOWNERDEAD) pthread_mutex_consistent(mutex_);
  // EDEADLK: we came here out of a signal handler that interrupted our own holder, which will not
  // run again before we are done.
  held_ = error == 0 || error == EOWNERDEAD;
}

ChunkLock::~ChunkLock() {
  if (held_) pthread_mutex_unlock(mutex_);
}

void log_line(const char* format, ...) {
  int saved = errno;
  char line[700] = "halogen shim: ";
  size_t used = std::strlen(line);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line + used, sizeof line - used - 1, format, arguments);
  va_end(arguments);
  used = std::strlen(line);
  line[used++] = '\n';
  (void)!sys::write(STDERR_FILENO, line, used);
  errno = saved;
}

}  // namespace halogen::shim
