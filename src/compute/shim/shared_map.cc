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
  // With room for all bitmaps that may yet come.
  void* map = ::mmap(nullptr, size + size_t{kMostBitmaps} * sizeof(GrowthBitmap),
                     PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
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
  fd_ = fd;
  static_entries_ = h.entries;
  entries_ = reinterpret_cast<Entry*>(base_ + h.entries_at);
  added_ = reinterpret_cast<Entry*>(base_ + h.added_at);
  added_hash_ = reinterpret_cast<std::atomic<uint32_t>*>(base_ + h.added_hash_at);
  growth_ = reinterpret_cast<Growth*>(base_ + h.growth_at);
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
  for (uint32_t i = 0; i < kAllLocks; ++i) {
    pthread_mutex_init(&locks_[i].mutex, &attributes);
    locks_[i].given_up_at = 0;
  }
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
  auto fits_growing = [&](uint64_t at, uint64_t count, uint64_t each) {
    return fits(at, count, each) && at + count * each <= h.file_bytes;
  };
  bool sound = h.file_bytes <= size && h.bitmaps.load() <= kMostBitmaps &&
               h.added.load() <= kMostAdded &&
               (size - h.file_bytes) / sizeof(GrowthBitmap) >= h.bitmaps.load() &&
               fits_growing(h.growth_at, uint64_t{h.entries} + kMostAdded, sizeof(Growth)) &&
               fits_growing(h.added_at, kMostAdded, sizeof(Entry)) &&
               fits_growing(h.added_hash_at, kAddedSlots, sizeof(uint32_t)) &&
               fits(h.directories_at, h.directories, sizeof(Directory)) &&
               fits(h.entries_at, h.entries, sizeof(Entry)) &&
               fits(h.hash_at, h.hash_slots, sizeof(uint32_t)) &&
               fits(h.locks_at, kAllLocks, sizeof(Lock)) && h.locks_at % 64 == 0 &&
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

bool SharedMap::parse(const char* path, SegmentId* id) const {
  if (base_ == nullptr || path == nullptr) return false;
  const char* name = relative(path);
  return name != nullptr && parse_segment(name, id);
}

uint32_t SharedMap::find(const char* path) const {
  SegmentId id;
  return parse(path, &id) ? find(id) : kNoEntry;
}

uint32_t SharedMap::find(const SegmentId& id) const {
  uint32_t mask = header().hash_slots - 1;
  for (auto slot = static_cast<uint32_t>(hash_of(id)) & mask; hash_[slot] != 0;
       slot = (slot + 1) & mask) {
    uint32_t index = hash_[slot] - 1;
    if (entries_[index].id == id) return index;
  }
  uint32_t slot;
  return header().added.load(std::memory_order_acquire) == 0 ? kNoEntry : find_added(id, &slot);
}

// If it is not there, where it would go.
uint32_t SharedMap::find_added(const SegmentId& id, uint32_t* free_slot) const {
  auto slot = static_cast<uint32_t>(hash_of(id)) & (kAddedSlots - 1);
  while (uint32_t at = added_hash_[slot].load(std::memory_order_acquire)) {
    if (added_[at - 1].id == id) return static_entries_ + at - 1;
    slot = (slot + 1) & (kAddedSlots - 1);
  }
  *free_slot = slot;
  return kNoEntry;
}

uint32_t SharedMap::add(const SegmentId& id) const {
  MapLock lock(*this, kAddLock);
  uint32_t slot;
  uint32_t index = find_added(id, &slot);
  uint32_t number = header().added.load();
  if (index != kNoEntry || number == kMostAdded || !lock.held()) return index;
  Entry& entry = added_[number];
  entry.id = id;
  entry.state.store(kMade);
  header().added.store(number + 1, std::memory_order_release);
  added_hash_[slot].store(number + 1, std::memory_order_release);
  return static_entries_ + number;
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

ChunkMask SharedMap::old_blocks(uint32_t index, uint32_t chunk) const {
  uint32_t base = chunk * kChunkBlocks;
  uint32_t pages = entry(index).pages;
  if (base >= pages) return {};
  return ChunkMask::range(0, pages - base < kChunkBlocks ? pages - base : kChunkBlocks);
}

GrowthBitmap* SharedMap::bitmap(uint32_t index) const {
  uint32_t number = growth(index).bitmap.load(std::memory_order_acquire);
  if (number == 0) return nullptr;
  return reinterpret_cast<GrowthBitmap*>(base_ + header().file_bytes) + (number - 1);
}

bool SharedMap::present(uint32_t index, uint32_t block) const {
  uint32_t chunk = block / kChunkBlocks;
  return absent(index, chunk, ChunkMask::range(block % kChunkBlocks, 1)).empty();
}

static ChunkMask get_bits(const std::atomic<uint64_t>* bits) {
  ChunkMask mask;
  for (uint32_t w = 0; w < kChunkWords; ++w) mask.words[w] = bits[w].load();
  return mask;
}

static void set_bits(std::atomic<uint64_t>* bits, const ChunkMask& blocks) {
  for (uint32_t w = 0; w < kChunkWords; ++w)
    if (blocks.words[w] != 0) bits[w].fetch_or(blocks.words[w]);
}

static void clear_bits(std::atomic<uint64_t>* bits, const ChunkMask& blocks) {
  for (uint32_t w = 0; w < kChunkWords; ++w)
    if (blocks.words[w] != 0) bits[w].fetch_and(~blocks.words[w]);
}

// Postgres makes no larger segments, and another file of such a name is its own affair.
static bool in_bitmap(const GrowthBitmap* grown, uint32_t chunk) {
  return grown != nullptr && chunk < kSegmentWords / kChunkWords;
}

ChunkMask SharedMap::absent(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const {
  ChunkMask old = wanted.both(old_blocks(index, chunk));
  ChunkMask mask;
  if (!old.empty()) mask = old.without(get_bits(present_ + word_of(index, chunk * kChunkBlocks)));
  if (const auto* grown = bitmap(index); in_bitmap(grown, chunk))
    mask = mask.with(wanted.without(old).both(get_bits(grown->absent + chunk * kChunkWords)));
  return mask;
}

void SharedMap::set_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  ChunkMask old = blocks.both(old_blocks(index, chunk));
  if (!old.empty()) set_bits(present_ + word_of(index, chunk * kChunkBlocks), old);
  if (auto* grown = bitmap(index); in_bitmap(grown, chunk))
    clear_bits(grown->absent + chunk * kChunkWords, blocks.without(old));
}

void SharedMap::clear_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  ChunkMask old = blocks.both(old_blocks(index, chunk));
  if (!old.empty()) clear_bits(present_ + word_of(index, chunk * kChunkBlocks), old);
  if (auto* grown = bitmap(index); in_bitmap(grown, chunk)) {
    set_bits(grown->absent + chunk * kChunkWords, blocks.without(old));
    clear_bits(grown->fetched + chunk * kChunkWords, blocks.without(old));
  }
}

bool SharedMap::written(uint32_t index, uint32_t block) const {
  uint32_t chunk = block / kChunkBlocks;
  return unwritten(index, chunk, ChunkMask::range(block % kChunkBlocks, 1)).empty();
}

ChunkMask SharedMap::unwritten(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const {
  ChunkMask old = wanted.both(old_blocks(index, chunk));
  ChunkMask mask;
  if (!old.empty()) mask = old.without(get_bits(written_ + word_of(index, chunk * kChunkBlocks)));
  if (const auto* grown = bitmap(index); in_bitmap(grown, chunk))
    mask = mask.with(wanted.without(old).both(get_bits(grown->fetched + chunk * kChunkWords)));
  return mask;
}

void SharedMap::set_written(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  ChunkMask old = blocks.both(old_blocks(index, chunk));
  if (auto* grown = bitmap(index); in_bitmap(grown, chunk))
    clear_bits(grown->fetched + chunk * kChunkWords, blocks.without(old));
  ChunkMask fresh = unwritten(index, chunk, old);
  if (fresh.empty()) return;
  int64_t clean = fresh.without(absent(index, chunk, fresh)).count();
  set_bits(written_ + word_of(index, chunk * kChunkBlocks), fresh);
  if (!can_evict(entry(index))) return;
  header().cached.fetch_sub(clean, std::memory_order_relaxed);
  add_written(index, fresh.count());
}

void SharedMap::clear_written(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  ChunkMask old = blocks.both(old_blocks(index, chunk));
  if (!old.empty()) clear_bits(written_ + word_of(index, chunk * kChunkBlocks), old);
}

void SharedMap::set_fetched(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  if (auto* grown = bitmap(index); in_bitmap(grown, chunk))
    set_bits(grown->fetched + chunk * kChunkWords, blocks.without(old_blocks(index, chunk)));
}

void SharedMap::note_end(uint32_t index, uint32_t end) const {
  if (end <= entry(index).pages || !can_evict(entry(index))) return;
  std::atomic<uint32_t>& blocks = growth(index).blocks;
  uint32_t now = end - entry(index).pages;
  uint32_t before = blocks.load(std::memory_order_relaxed);
  while (before < now)
    if (blocks.compare_exchange_weak(before, now)) return add_written(index, now - before);
}

// Of those at boot set_written() has counted each.
void SharedMap::count_returning(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const {
  ChunkMask grown = blocks.without(old_blocks(index, chunk));
  uint32_t count = absent(index, chunk, grown).count();
  if (count != 0 && can_evict(entry(index))) add_written(index, count);
}

void SharedMap::add_written(uint32_t index, int64_t blocks) const {
  growth(index).written.fetch_add(static_cast<int32_t>(blocks), std::memory_order_relaxed);
  header().written.fetch_add(blocks, std::memory_order_relaxed);
}

void SharedMap::count_written(uint32_t index, int32_t blocks) const {
  int64_t before = growth(index).written.exchange(blocks, std::memory_order_relaxed);
  header().written.fetch_add(blocks - before, std::memory_order_relaxed);
}

bool SharedMap::make_bitmap(uint32_t index) const {
  if (bitmap(index) != nullptr) return true;
  uint32_t number = header().bitmaps.load();
  constexpr uint64_t kBytes = sizeof(GrowthBitmap);
  if (number == kMostBitmaps ||
      sys::allocate(fd_, static_cast<off_t>(header().file_bytes + number * kBytes), kBytes) != 0)
    return false;
  header().bitmaps.store(number + 1);
  growth(index).bitmap.store(number + 1, std::memory_order_release);
  return true;
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
  uint32_t low = 0, high = static_entries_;  // The last one that begins at or before the bit.
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    (entries_[middle].first_bit <= bit ? low : high) = middle;
  }
  return low;
}

MapLock::MapLock(const SharedMap& map, uint32_t number, bool wait) : lock_(&map.locks_[number]) {
  int error = wait ? pthread_mutex_lock(&lock_->mutex) : pthread_mutex_trylock(&lock_->mutex);
  if (error == EOWNERDEAD) pthread_mutex_consistent(&lock_->mutex);
  // EDEADLK: we came here out of a signal handler that interrupted our own holder, which will not
  // run again before we are done.
  held_ = error == 0 || error == EOWNERDEAD;
}

MapLock::~MapLock() {
  if (held_) pthread_mutex_unlock(&lock_->mutex);
}

static uint32_t lock_of(uint32_t index, uint32_t chunk) {
  uint64_t hash = (uint64_t{index} << 32 | chunk) * 0x9E3779B97F4A7C15u;
  return hash >> 32 & (kLocks - 1);
}

ChunkLock::ChunkLock(const SharedMap& map, uint32_t index, uint32_t chunk)
    : MapLock(map, lock_of(index, chunk)) {}

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
