// shared_map.h: the mapped manifest: finding segments, presence bits, locks.
//
// One per process, mapped in the postmaster and inherited by fork. All calls are safe from any
// process and thread; none throws or allocates.
#pragma once
#include "compute/shim/manifest.h"
#include "compute/shim/segment_path.h"

namespace halogen::shim {

// Bits of one chunk, bit i of word i/64 for its i-th block.
struct ChunkMask {
  uint64_t words[kChunkWords] = {};

  // Blocks [first, first + count) of the chunk.
  static ChunkMask range(uint32_t first, uint32_t count) {
    ChunkMask mask;
    for (uint32_t w = 0; w < kChunkWords; ++w) {
      uint32_t low = w * 64;
      uint32_t from = first > low ? first - low : 0;
      uint32_t end = first + count;
      uint32_t to = end > low ? (end - low < 64 ? end - low : 64) : 0;
      if (from >= to) continue;
      uint64_t bits = to - from == 64 ? ~uint64_t{0} : (uint64_t{1} << (to - from)) - 1;
      mask.words[w] = bits << from;
    }
    return mask;
  }
  bool test(uint32_t i) const { return words[i / 64] >> (i % 64) & 1; }
  void clear(uint32_t i) { words[i / 64] &= ~(uint64_t{1} << (i % 64)); }
  uint32_t count() const {
    uint32_t n = 0;
    for (uint64_t word : words) n += static_cast<uint32_t>(__builtin_popcountll(word));
    return n;
  }
  bool empty() const { return (words[0] | words[1]) == 0; }
  ChunkMask with(const ChunkMask& other) const {
    return {{words[0] | other.words[0], words[1] | other.words[1]}};
  }
  ChunkMask both(const ChunkMask& other) const {
    return {{words[0] & other.words[0], words[1] & other.words[1]}};
  }
  ChunkMask without(const ChunkMask& other) const {
    return {{words[0] & ~other.words[0], words[1] & ~other.words[1]}};
  }
};
static_assert(kChunkWords == 2);

class SharedMap {
 public:
  // Maps the file and makes its locks anew. On failure returns false and writes the reason.
  bool open(const char* file, const char* data_directory, char* why, size_t why_size);
  bool is_open() const { return base_ != nullptr; }

  ManifestHeader& header() const { return *reinterpret_cast<ManifestHeader*>(base_); }
  Counters& counters() const { return header().counters; }
  Entry& entry(uint32_t index) const {
    return index < static_entries_ ? entries_[index] : added_[index - static_entries_];
  }
  Growth& growth(uint32_t index) const { return growth_[index]; }
  // Those at boot and those added since.
  uint32_t entries() const {
    return static_entries_ + header().added.load(std::memory_order_acquire);
  }

  // Takes any name that Postgres uses for the file: relative to the data directory, or absolute.
  bool parse(const char* path, SegmentId* id) const;
  // kNoEntry if it is no segment of the manifest.
  uint32_t find(const char* path) const;
  uint32_t find(const SegmentId& id) const;
  Directory* find_directory(const char* path) const;
  // `path` without the data directory's own name in front; null if it lies elsewhere.
  const char* relative(const char* path) const;

  // The entry of a segment whose file is here and whole; kNoEntry if there is no room for one more.
  uint32_t add(const SegmentId& id) const;

  // Blocks at or past this one are present, whatever is asked.
  uint32_t limit(uint32_t index) const {
    return growth(index).bitmap.load(std::memory_order_acquire) != 0 ? kRelSegmentPages
                                                                     : entry(index).pages;
  }
  // Those of the chunk's blocks that existed at boot.
  ChunkMask old_blocks(uint32_t index, uint32_t chunk) const;
  bool present(uint32_t index, uint32_t block) const;
  // Which of `wanted` are absent.
  ChunkMask absent(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const;
  void set_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;
  void clear_present(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;
  bool written(uint32_t index, uint32_t block) const;
  // Of `wanted`: as storage has them, if they are present. Past the entry's pages, those that came
  // from there.
  ChunkMask unwritten(uint32_t index, uint32_t chunk, const ChunkMask& wanted) const;
  void set_written(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;
  void clear_written(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;
  // These came from storage.
  void set_fetched(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;

  // The file has blocks up to `end` now.
  void note_end(uint32_t index, uint32_t end) const;
  // These are written anew, of which some may have been given up. Before set_present().
  void count_returning(uint32_t index, uint32_t chunk, const ChunkMask& blocks) const;
  // How many of its local blocks are written, as far as is known.
  void count_written(uint32_t index, int32_t blocks) const;
  void add_written(uint32_t index, int64_t blocks) const;
  // So that blocks past the entry's pages can be cleared. False: there is no room for a bitmap. To
  // be called under kSweepLock.
  bool make_bitmap(uint32_t index) const;

  // Chunks of all entries at boot, numbered through.
  uint64_t chunks() const { return header().bitmap_words / kChunkWords; }
  // Whether it has blocks that are present and not written.
  bool has_clean(uint64_t numbered_chunk) const;
  // The entry that owns it.
  uint32_t entry_of(uint64_t numbered_chunk) const;

 private:
  friend class MapLock;
  bool valid(uint64_t size, char* why, size_t why_size) const;
  uint64_t word_of(uint32_t index, uint32_t block) const {
    return (entries_[index].first_bit + block) / 64;
  }
  // The entry's, or null.
  GrowthBitmap* bitmap(uint32_t index) const;
  uint32_t find_added(const SegmentId& id, uint32_t* free_slot) const;

  char* base_ = nullptr;
  int fd_ = -1;
  uint32_t static_entries_ = 0;
  Entry* entries_ = nullptr;
  Entry* added_ = nullptr;
  std::atomic<uint32_t>* added_hash_ = nullptr;
  Growth* growth_ = nullptr;
  Directory* directories_ = nullptr;
  const uint32_t* hash_ = nullptr;
  Lock* locks_ = nullptr;
  std::atomic<uint64_t>* present_ = nullptr;
  std::atomic<uint64_t>* written_ = nullptr;
  size_t data_directory_length_ = 0;
  char data_directory_[1024] = {};
};

// Statically initialised: a constructor would run after the library's and wipe the state.
extern constinit SharedMap g_map;

constexpr uint32_t kWholeFile = 0xFFFFFFFF;  // As a chunk: the making and removing of the file.
constexpr uint64_t kWholeSegment = uint64_t{kRelSegmentPages} * kPageSize;  // In bytes, or less.

// Holds one of the map's locks. If the owner died it is taken over: all that is done under it can
// be done again.
class MapLock {
 public:
  // `wait` false: it is not held if another has it.
  MapLock(const SharedMap& map, uint32_t number, bool wait = true);
  ~MapLock();
  MapLock(const MapLock&) = delete;
  MapLock& operator=(const MapLock&) = delete;
  bool held() const { return held_; }

 protected:
  Lock* lock_;

 private:
  bool held_;
};

// That of one chunk. They are hashed, so a thread must hold one at a time.
class ChunkLock : public MapLock {
 public:
  ChunkLock(const SharedMap& map, uint32_t index, uint32_t chunk);
  // See Lock::given_up_at.
  uint64_t given_up_at() const { return lock_->given_up_at; }
  void note_given_up(uint64_t lsn) {
    if (lsn > lock_->given_up_at) lock_->given_up_at = lsn;
  }
};

// One line to Postgres' log.
__attribute__((format(printf, 1, 2))) void log_line(const char* format, ...);

}  // namespace halogen::shim
