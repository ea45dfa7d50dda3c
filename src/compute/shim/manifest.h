// manifest.h: the file that every Postgres process of one data directory shares through mmap.
//
// It names each relation and SLRU segment that existed at the boot LSN, and says which of its
// 8 KiB blocks are local. Made by manifest_builder.h, used by the shim; plain data at fixed
// offsets, native byte order, never sent anywhere.
//
// Layout: header, directories, entries, hash table, locks, present bitmap, written bitmap; then, as
// zeros until the server runs, what has grown: Growth of each entry, entries of segments that were
// added since, and their hash table. Entries are sorted by directory, so a directory is a range of
// them. Each entry owns a run of whole 128-bit chunks in both bitmaps, so that a chunk is two words
// and has one lock. Behind all that the file is made longer by one bitmap for each segment of which
// blocks past those at boot are given up (Growth::bitmap). A segment that is in none of it is
// wholly local.
#pragma once
#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "protocol/page_key.h"
#include "protocol/page_service.h"

namespace halogen::shim {

constexpr uint64_t kManifestMagic = 0x3130544E4D4C4148;  // "HALMNT01"
constexpr uint32_t kManifestVersion = 4;
constexpr uint32_t kChunkBlocks = 128;
constexpr uint32_t kChunkWords = kChunkBlocks / 64;
constexpr uint32_t kLocks = 1024;  // A power of two.
constexpr uint32_t kNoEntry = 0xFFFFFFFF;
constexpr uint32_t kMostAdded = 16384;            // Segments that are made while the server runs.
constexpr uint32_t kAddedSlots = 2 * kMostAdded;  // A power of two.
constexpr uint32_t kMostBitmaps = 4096;           // Of Growth; each is of a whole segment.
constexpr uint32_t kSegmentWords = kRelSegmentPages / 64;
// Of a whole segment: which blocks are absent, and which are here as storage has them.
struct GrowthBitmap {
  std::atomic<uint64_t> absent[kSegmentWords];
  std::atomic<uint64_t> fetched[kSegmentWords];
};

// The names of a segment file, parsed. `fork` is a Fork, or for an SLRU which Slru it is.
struct SegmentId {
  uint8_t kind = 0;  // A PageKind.
  uint8_t fork = 0;
  uint16_t unused = 0;
  uint32_t spc = 0;
  uint32_t db = 0;
  uint32_t rel = 0;
  uint32_t number = 0;  // The .N of a relation segment, the hex name of an SLRU segment.

  friend constexpr bool operator==(const SegmentId&, const SegmentId&) = default;
};

constexpr uint64_t hash_of(const SegmentId& id) {
  uint64_t a = uint64_t{id.rel} << 32 | id.number;
  uint64_t b = (uint64_t{id.db} << 32 | id.spc) ^
               (uint64_t{id.fork} << 60 | static_cast<uint64_t>(id.kind) << 56);
  a = (a ^ b * 0x9E3779B97F4A7C15u) * 0xBF58476D1CE4E5B9u;
  a = (a ^ a >> 29) * 0x94D049BB133111EBu;
  return a ^ a >> 32;
}

enum SegmentState : uint32_t {
  kNotMade = 0,  // In storage only: the file is made when its name is first used.
  kMade = 1,     // The file exists at its right size.
  kDead = 2,     // Unlinked since boot. A file of that name is another one, wholly local.
};

// Of an unlogged relation's main fork: at a fresh boot it is a copy of the init fork, so its absent
// blocks are fetched under the init fork's key.
constexpr uint8_t kFromInitFork = 1;
// Somebody reads or renames it around us: none of it is given up any more.
constexpr uint8_t kPinned = 2;

struct Entry {
  SegmentId id;
  uint32_t pages = 0;  // At the boot LSN; blocks at or past it are Postgres' own.
  std::atomic<uint8_t> flags = 0;
  uint8_t unused[3] = {};
  std::atomic<uint32_t> state = kNotMade;
  uint64_t first_bit = 0;  // A multiple of kChunkBlocks, in both bitmaps.
};
static_assert(sizeof(Entry) == 40);

// What has become of an entry since the manifest was made. All zero is nothing.
struct Growth {
  std::atomic<uint32_t> blocks;  // At or past `pages`: the most there were.
  // Local blocks that Postgres wrote since boot, or that lie there. About.
  std::atomic<int32_t> written;
  // The number, from 1, of the bitmap of blocks at or past `pages` that were given up. 0: none was.
  std::atomic<uint32_t> bitmap;
};
static_assert(sizeof(Growth) == 12);

struct Directory {
  uint8_t kind = 0;  // As in SegmentId; `fork` is 0 unless the directory is an SLRU's.
  uint8_t fork = 0;
  uint16_t unused = 0;
  uint32_t spc = 0;
  uint32_t db = 0;
  uint32_t first_entry = 0;
  uint32_t entries = 0;
  std::atomic<uint32_t> all_made = 0;
};
static_assert(sizeof(Directory) == 24);

// Robust and shared between processes; made anew by each postmaster.
struct alignas(64) Lock {
  pthread_mutex_t mutex;
  // Of what it guards, written blocks have been given up whose content storage has from this LSN
  // on. What was asked for at an older one is history.
  uint64_t given_up_at;
};
static_assert(sizeof(Lock) == 64);
// Behind those of chunks: for adding segments, and for who gives written blocks up.
constexpr uint32_t kAddLock = kLocks;
constexpr uint32_t kSweepLock = kLocks + 1;
constexpr uint32_t kAllLocks = kLocks + 2;

// Since the manifest was built or re-based. For tests and metrics, exact but read without locks.
struct Counters {
  std::atomic<uint64_t> requests;           // Sent to the page service.
  std::atomic<uint64_t> pages_fetched;      // Received.
  std::atomic<uint64_t> pages_installed;    // Written to a local file.
  std::atomic<uint64_t> conflicts;          // Received, but present by then: not installed.
  std::atomic<uint64_t> waits;              // Reads that waited for the page service.
  std::atomic<uint64_t> wait_microseconds;  // How long, in sum.
  std::atomic<uint64_t> files_made;         // Lazily.
  std::atomic<uint64_t> failed_reads;       // Ended with EIO.
  std::atomic<uint64_t> pages_evicted;      // Given up again, see eviction.h.
  std::atomic<uint64_t> written_evicted;    // Those that Postgres had written.
  std::atomic<uint64_t> pages_not_kept;     // Read from memory: the disk is full.
};

// Keep pg_internal.init files over the boot: swallow the startup process's unlink of them.
constexpr uint32_t kKeepRelcacheFiles = 1;

struct ManifestHeader {
  uint64_t magic = kManifestMagic;
  uint32_t version = kManifestVersion;
  uint32_t major = 0;  // Of Postgres.
  // Where absent blocks are read. The agent moves it on, to where storage has all WAL (eviction.h).
  std::atomic<uint64_t> read_lsn = 0;
  std::atomic<uint64_t> evictions = 0;    // Changes before what a local file holds is given up.
  std::atomic<uint64_t> cache_limit = 0;  // In pages: of `cached` and `written`. 0: none.
  uint32_t flags = 0;
  uint32_t fetch_deadline_ms = 0;
  PageToken token;
  char socket_path[108] = {};       // Zero-terminated.
  char version_directory[36] = {};  // "PG_15_202209061": tablespaces' inner folder.

  uint64_t file_bytes = 0;
  uint64_t directories_at = 0;  // Offsets from the start of the file.
  uint64_t entries_at = 0;
  uint64_t hash_at = 0;  // uint32_t slots: an entry's index + 1, 0 for empty; linear probing.
  uint64_t locks_at = 0;
  uint64_t present_at = 0;  // uint64_t words, zero is absent.
  uint64_t written_at = 0;  // Written by Postgres since boot; the same shape.
  uint64_t bitmap_words = 0;
  uint64_t growth_at = 0;      // Growth of entries, then of added ones.
  uint64_t added_at = 0;       // Entries.
  uint64_t added_hash_at = 0;  // As hash_at, with kAddedSlots.
  uint32_t directories = 0;
  uint32_t entries = 0;
  uint32_t hash_slots = 0;  // A power of two, at least twice the entries.
  uint32_t unused = 0;
  std::atomic<int64_t> cached = 0;         // Local blocks that are as storage has them.
  std::atomic<uint64_t> hand = 0;          // The chunk to look at next for such.
  std::atomic<int64_t> written = 0;        // Sum of Growth::written.
  std::atomic<uint64_t> written_hand = 0;  // The entry << 32 | chunk to look at next for such.
  // At this read_lsn all of them have been looked at, and none could be given up.
  std::atomic<uint64_t> swept_at = 0;
  // Of who has kSweepLock: where the round over them began, and with what count of written_evicted.
  uint64_t round_lsn = 0;
  uint64_t round_began_with = 0;
  std::atomic<uint32_t> added = 0;
  std::atomic<uint32_t> bitmaps = 0;  // GrowthBitmaps, behind file_bytes.
  // Grows with each commit that may have changed pg_authid, and each time that Postgres begins
  // anew. 0: not counted. Kept by the extension.
  std::atomic<uint64_t> role_changes = 0;
  Counters counters = {};
};
static_assert(sizeof(ManifestHeader) % 8 == 0);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

constexpr bool is_main_fork(const SegmentId& id) {
  return id.kind == static_cast<uint8_t>(PageKind::relation) &&
         id.fork == static_cast<uint8_t>(Fork::main);
}

// Blocks of tables and indexes can be fetched again. Other forks and SLRUs are small; what is in an
// unlogged relation is nowhere else.
inline bool can_evict(const Entry& entry) {
  return is_main_fork(entry.id) && entry.flags.load() == 0 &&
         entry.state.load(std::memory_order_acquire) == kMade;
}

constexpr uint32_t chunks_of(uint32_t pages) { return (pages + kChunkBlocks - 1) / kChunkBlocks; }

constexpr uint32_t segment_pages(uint8_t kind) {
  return kind == static_cast<uint8_t>(PageKind::slru) ? kSlruSegmentPages : kRelSegmentPages;
}

// The key of a segment's first block in storage; the following blocks' keys follow.
constexpr PageKey key_of(const Entry& entry, uint32_t block) {
  RelTag tag;
  tag.kind = static_cast<PageKind>(entry.id.kind);
  tag.fork = entry.flags & kFromInitFork ? static_cast<uint8_t>(Fork::init) : entry.id.fork;
  tag.spc = entry.id.spc;
  tag.db = entry.id.db;
  tag.rel = entry.id.rel;
  return {tag, entry.id.number * segment_pages(entry.id.kind) + block};
}

}  // namespace halogen::shim
