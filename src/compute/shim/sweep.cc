#include "compute/shim/sweep.h"

#include "compute/shim/eviction.h"
#include "compute/shim/page_client.h"
#include "compute/shim/same_page.h"
#include "compute/shim/sys.h"

namespace halogen::shim {
namespace {

constexpr int64_t kEnoughPages = 2 * kChunkBlocks;
constexpr uint32_t kChunksAtATime = 32;
constexpr int64_t kGoodRound = 8;  // Gives up one of so many.
constexpr uint32_t kPatienceMs = 1000;

// Written blocks of the chunk that storage can have at `lsn`.
ChunkMask written_until(uint32_t index, uint32_t chunk, int fd, uint64_t lsn) {
  ChunkMask all = ChunkMask::range(0, kChunkBlocks);
  ChunkMask here = all.without(g_map.absent(index, chunk, all));
  here = here.without(g_map.unwritten(index, chunk, here));
  if (chunk == 0) here.clear(0);
  for (uint32_t i = 0; i < kChunkBlocks; ++i) {
    if (!here.test(i)) continue;
    char head[8] = {};
    read_block(fd, chunk, i, head, sizeof head);
    uint64_t version = page_lsn(head);
    if (version < kFirstLsn || version > lsn) here.clear(i);
  }
  return here;
}

bool is_unlogged(const Entry& entry) {
  SegmentId init = entry.id;
  init.fork = static_cast<uint8_t>(Fork::init);
  init.number = 0;
  if (g_map.find(init) != kNoEntry) return true;
  char path[kSegmentPathMax];
  format_segment(init, g_map.header().version_directory, path);
  return sys::access(path, F_OK) == 0;
}

// Goes round over all written blocks. One process at a time: it has kSweepLock.
class Sweep {
 public:
  explicit Sweep(PageClient& client) : client_(client), lsn_(header_.read_lsn.load()) {}

  void run() {
    uint64_t before = header_.counters.written_evicted.load();
    uint32_t left = kChunksAtATime;
    while (left != 0 && given_up() - before < kEnoughPages) {
      auto index = static_cast<uint32_t>(header_.written_hand.load() >> 32);
      if (index >= g_map.entries()) {
        if (!begin_round()) return;
      } else if (!visit(index, &left)) {
        header_.written_hand.store(uint64_t{index + 1} << 32);
      }
    }
  }

 private:
  uint64_t given_up() const { return header_.counters.written_evicted.load(); }

  // False if the last one was in vain, and so would be another before storage has more: what it
  // gave up may be no more than what readers are about to read.
  bool begin_round() {
    auto round = static_cast<int64_t>(given_up() - header_.round_began_with);
    bool vain = header_.round_lsn == lsn_ && round < header_.written.load() / kGoodRound;
    if (vain) header_.swept_at.store(lsn_);
    header_.round_lsn = lsn_;
    header_.round_began_with = given_up();
    header_.written_hand.store(0);
    return !vain;
  }

  // Some chunks of the entry; false when it is done.
  bool visit(uint32_t index, uint32_t* left) {
    const Entry& entry = g_map.entry(index);
    if (!can_evict(entry) || g_map.growth(index).written.load() <= 0) return false;
    int fd = open_entry(entry);
    if (fd < 0) return false;
    bool more = visit_file(index, fd, left);
    sys::close(fd);
    return more;
  }

  bool visit_file(uint32_t index, int fd, uint32_t* left) {
    auto chunk = static_cast<uint32_t>(header_.written_hand.load());
    if (chunk == 0) {
      if (is_unlogged(g_map.entry(index))) pin_segment(index);
      recount_written(index, fd);
    }
    struct stat info;
    if (!can_evict(g_map.entry(index)) || sys::fstat(fd, &info) != 0) return false;
    uint32_t chunks = chunks_of(static_cast<uint32_t>(info.st_size / kPageSize));
    if (chunk >= chunks) return false;
    --*left;
    header_.written_hand.fetch_add(1);
    give_up_fetched(index, chunk, fd);
    ChunkMask blocks = written_until(index, chunk, fd, lsn_);
    uint32_t end = (chunk + 1) * kChunkBlocks;
    if (blocks.empty() || (end > g_map.entry(index).pages && !g_map.make_bitmap(index)))
      return true;
    Wait wait(kPatienceMs);
    if (!client_.compare(index, chunk, blocks, wait).good()) {
      header_.swept_at.store(lsn_);  // Storage is away: not all are to wait for it.
      *left = 0;
    }
    return true;
  }

  ManifestHeader& header_ = g_map.header();
  PageClient& client_;
  const uint64_t lsn_;
};

void sweep(bool wait) {
  ManifestHeader& header = g_map.header();
  if (header.swept_at.load() == header.read_lsn.load()) return;
  int saved = errno;
  MapLock lock(g_map, kSweepLock, wait);
  if (lock.held()) {
    ClientLease lease;
    if (lease.get() != nullptr) Sweep(*lease.get()).run();
  }
  errno = saved;
}

}  // namespace

void keep_written_limit() {
  ManifestHeader& header = g_map.header();
  auto limit = static_cast<int64_t>(header.cache_limit.load(std::memory_order_relaxed));
  int64_t written = header.written.load(std::memory_order_relaxed);
  if (limit == 0 || written <= limit / 2) return;
  int64_t all = written + header.cached.load(std::memory_order_relaxed);
  // Who writes faster than one gives up waits for its turn to do so, too.
  if (all > limit) sweep(written > limit + limit / 4);
}

void give_up_for_room() { sweep(true); }

}  // namespace halogen::shim
