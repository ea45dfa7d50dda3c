#include "compute/shim/blocks.h"

#include <cstring>

#include "compute/shim/eviction.h"
#include "compute/shim/fd_table.h"
#include "compute/shim/hook.h"
#include "compute/shim/page_client.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sweep.h"
#include "compute/shim/sys.h"

namespace halogen::shim {
namespace {

constexpr uint32_t kMaxWindow = kChunkBlocks;
static_assert(kMaxWindow <= UINT8_MAX);  // See FdState.
// A scan that skips a block or two is still sequential. More would take sorted random reads for
// one.
constexpr uint32_t kSequentialGap = 2;
// So many sequential misses in a row and the next window is asked for before it is needed.
constexpr uint8_t kLongStreak = 2;
constexpr int kFirstBackoffMs = 5;
constexpr int kMaxBackoffMs = 200;

// fetch_block's answer, beside 0 and an errno: the page went to the reader's memory.
constexpr int kReadDirectly = -1;

constinit bool g_outage_logged = false;
constinit bool g_full_disk_logged = false;

struct BlockSpan {
  uint32_t first;
  uint32_t end;
};

// The blocks that these bytes touch, of those that may be absent; possibly none.
BlockSpan span_of(uint32_t index, off_t at, uint64_t bytes) {
  if (at < 0 || bytes == 0) return {0, 0};
  auto start = static_cast<uint64_t>(at);
  uint64_t limit = uint64_t{g_map.limit(index)} * kPageSize;
  if (start >= limit) return {0, 0};
  uint64_t end = bytes < limit - start ? start + bytes : limit;
  return {static_cast<uint32_t>(start / kPageSize),
          static_cast<uint32_t>((end + kPageSize - 1) / kPageSize)};
}

// Absent blocks of [first, first + count), cut at the end of first's chunk and of the segment, that
// are not on their way already.
ChunkMask worth_asking(const PageClient& client, uint32_t index, uint32_t first, uint32_t count) {
  uint32_t chunk = first / kChunkBlocks;
  uint32_t base = chunk * kChunkBlocks;
  uint32_t pages = g_map.limit(index);
  uint32_t end = pages - base < kChunkBlocks ? pages - base : kChunkBlocks;
  uint32_t from = first - base;
  uint32_t n = count < end - from ? count : end - from;
  ChunkMask mask = g_map.absent(index, chunk, ChunkMask::range(from, n));
  ChunkMask flying = client.in_flight(index, chunk);
  for (uint32_t w = 0; w < kChunkWords; ++w) mask.words[w] &= ~flying.words[w];
  return mask;
}

bool in_flight(const PageClient& client, uint32_t index, uint32_t block) {
  return client.in_flight(index, block / kChunkBlocks).test(block % kChunkBlocks);
}

// While a sequential reader works on what it got, the next window is already on its way.
void read_ahead(PageClient& client, int fd, uint32_t index, uint32_t block, uint32_t window,
                Wait& wait) {
  uint32_t chunk = block / kChunkBlocks;
  uint32_t base = chunk * kChunkBlocks;
  ChunkMask flying = client.in_flight(index, chunk);
  uint32_t next = block - base;
  ChunkMask wanted = g_map.absent(index, chunk, ChunkMask::range(0, kChunkBlocks)).without(flying);
  while (next < kChunkBlocks && !wanted.test(next)) ++next;
  if (base + next >= g_map.limit(index) || client.full()) return;
  ChunkMask blocks = worth_asking(client, index, base + next, window);
  if (!blocks.empty()) client.send(index, (base + next) / kChunkBlocks, blocks, fd, wait);
}

// One try to get `block`, with up to `window` blocks in the same request.
Outcome attempt(PageClient& client, int fd, uint32_t index, uint32_t block, uint32_t window,
                bool ahead, Wait& wait) {
  uint32_t chunk = block / kChunkBlocks;
  if (!in_flight(client, index, block)) {
    if (client.full()) {
      client.receive_head(wait);  // If that ends the connection, there is room as well.
    }
    ChunkMask blocks = worth_asking(client, index, block, window);
    if (blocks.empty()) return {};  // Somebody else installed it just now.
    Outcome outcome = client.send(index, chunk, blocks, fd, wait);
    if (!outcome.good()) return outcome;
  }
  if (ahead) {
    uint32_t next = window * 2 < kMaxWindow ? window * 2 : kMaxWindow;
    read_ahead(client, fd, index, block, next, wait);
  }
  return client.receive(index, block, wait);
}

bool disk_is_full(int error) { return error == ENOSPC || error == EDQUOT; }

void log_failure(uint32_t index, uint32_t block, const PageClient& client) {
  char path[kSegmentPathMax];
  const ManifestHeader& header = g_map.header();
  format_segment(g_map.entry(index).id, header.version_directory, path);
  uint64_t lsn = header.read_lsn.load(std::memory_order_relaxed);
  log_line("cannot get block %u of %s at %X/%08X from the page service at %s: %s", block, path,
           static_cast<unsigned>(lsn >> 32), static_cast<unsigned>(lsn), header.socket_path,
           client.error_text());
}

// What the reader is told. Once per outage and process, the log is told why.
int give_up(const Outcome& outcome, uint32_t index, uint32_t block, const PageClient& client) {
  if (disk_is_full(outcome.error)) return outcome.error;  // Readers go on without room.
  g_map.counters().failed_reads.fetch_add(1, std::memory_order_relaxed);
  bool outage = outcome.kind == Outcome::lost || outcome.kind == Outcome::timed_out;
  if (outcome.kind != Outcome::cancelled && !(outage && g_outage_logged))
    log_failure(index, block, client);
  if (outage) g_outage_logged = true;
  return outcome.error;
}

void note_read_from_memory() {
  g_map.counters().pages_not_kept.fetch_add(1, std::memory_order_relaxed);
  if (!g_full_disk_logged)
    log_line("the disk is full: pages are read from storage each time, without being kept");
  g_full_disk_logged = true;
}

void note_success(const Wait& wait) {
  Counters& counters = g_map.counters();
  counters.waits.fetch_add(1, std::memory_order_relaxed);
  counters.wait_microseconds.fetch_add(static_cast<uint64_t>(wait.elapsed_us()),
                                       std::memory_order_relaxed);
  if (g_outage_logged) {
    g_outage_logged = false;
    log_line("the page service answers again");
  }
}

// How many blocks to ask for at a miss. Doubles while a reader goes on, halves when it jumps: so
// each worker of a parallel scan, which gets the blocks in pieces, comes to ask for about a piece,
// and random reads come to ask for one block.
uint32_t next_window(FdState& state, bool sequential) {
  uint32_t window = state.window;
  if (!sequential)
    window = window > 2 ? window / 2 : 1;
  else if (window == 0)
    window = 2;
  else
    window = window * 2 < kMaxWindow ? window * 2 : kMaxWindow;
  state.window = static_cast<uint8_t>(window);
  if (!sequential)
    state.streak = 0;
  else if (state.streak < kLongStreak)
    ++state.streak;
  return window;
}

// Gets one absent block, and the `wanted` - 1 behind it with it if that goes well. With `page`, a
// block for which the disk has no room goes there.
int fetch_block(int fd, uint32_t index, uint32_t block, uint32_t wanted, bool sequential,
                char* page = nullptr) {
  ClientLease lease;
  if (lease.get() == nullptr) return EIO;
  PageClient& client = *lease.get();
  FdState& state = g_fds.state(fd);
  uint32_t window = next_window(state, sequential);
  bool ahead = state.streak == kLongStreak;
  if (window < wanted) window = wanted;
  client.set_direct({index, block, page});

  Wait wait(g_map.header().fetch_deadline_ms);
  int backoff = 0;
  while (!g_map.present(index, block)) {
    bool alone = window == 1 && !in_flight(client, index, block);
    Outcome outcome = attempt(client, fd, index, block, window, ahead, wait);
    // Nearly always the end: the block is there now.
    if (outcome.good() && wait.left_ms() != 0) continue;
    if (outcome.good()) outcome = {Outcome::timed_out, EIO};
    // What could not be kept was a neighbour.
    if (outcome.kind == Outcome::local && g_map.present(index, block)) continue;
    window = 1;  // A neighbour's trouble must not become this block's.
    ahead = false;
    if (outcome.kind == Outcome::lost) {
      backoff = backoff == 0 ? kFirstBackoffMs : backoff * 2;
      if (backoff > kMaxBackoffMs) backoff = kMaxBackoffMs;
      int ended = wait.until_ready(-1, 0, backoff);
      if (ended == 0) continue;
      if (ended == ECANCELED) outcome.kind = Outcome::cancelled;
    } else if (outcome.kind == Outcome::local && client.read_directly()) {
      note_read_from_memory();
      return kReadDirectly;
    } else if ((outcome.kind == Outcome::refused || outcome.kind == Outcome::local) && !alone &&
               !disk_is_full(outcome.error)) {
      continue;
    }
    return give_up(outcome, index, block, client);
  }
  note_success(wait);
  return 0;
}

int ensure_blocks(int fd, uint32_t index, uint32_t first, uint32_t end, bool sequential) {
  for (uint32_t block = first; block < end; ++block) {
    if (g_map.present(index, block)) continue;
    keep_written_limit();
    if (int error = fetch_block(fd, index, block, end - block, sequential)) return error;
  }
  return 0;
}

// Where the next bytes of a scattered read go.
class Target {
 public:
  Target(const iovec* parts, int count) : parts_(parts), count_(count) {}
  uint64_t left() const {
    uint64_t bytes = 0;
    for (int i = 0; i < count_; ++i) bytes += parts_[i].iov_len;
    return bytes - used_;
  }
  void append(const char* from, size_t n) {
    while (n != 0) {
      size_t room = parts_->iov_len - used_;
      size_t piece = n < room ? n : room;
      std::memcpy(static_cast<char*>(parts_->iov_base) + used_, from, piece);
      from += piece;
      n -= piece;
      used_ += piece;
      if (used_ < parts_->iov_len) continue;
      ++parts_;
      --count_;
      used_ = 0;
    }
  }

 private:
  const iovec* parts_;
  int count_;
  size_t used_ = 0;  // Of the first part.
};

// Up to the end of the block that `at` lies in, which may be absent. As pread(2).
ssize_t read_within_block(int fd, uint32_t index, char* page, size_t n, off_t at) {
  for (;;) {
    uint64_t evictions = g_map.header().evictions.load();
    BlockSpan span = span_of(index, at, n);
    if (span.first != span.end && !g_map.present(index, span.first)) {
      int error = fetch_block(fd, index, span.first, 1, false, page);
      if (error == kReadDirectly) {
        auto from = static_cast<size_t>(at % kPageSize);
        std::memmove(page, page + from, n);
        return static_cast<ssize_t>(n);
      }
      if (error != 0) return fail(error);
    }
    ssize_t got = sys::pread(fd, page, n, at);
    if (g_map.header().evictions.load() == evictions) return got;
  }
}

// Block by block, without room for them on the disk.
ssize_t read_without_room(int fd, uint32_t index, Target target, off_t at) {
  alignas(8) char page[kPageSize];
  ssize_t done = 0;
  for (uint64_t left = target.left(); left != 0; left = target.left()) {
    uint64_t to_end = kPageSize - static_cast<uint64_t>(at + done) % kPageSize;
    size_t n = left < to_end ? left : to_end;
    ssize_t got = read_within_block(fd, index, page, n, at + done);
    if (got < 0) return done != 0 ? done : -1;
    target.append(page, static_cast<size_t>(got));
    done += got;
    if (static_cast<size_t>(got) < n) break;
  }
  return done;
}

bool all_present(uint32_t index, BlockSpan span) {
  for (uint32_t block = span.first; block < span.end; ++block)
    if (!g_map.present(index, block)) return false;
  return true;
}

constexpr uint64_t kChunkBytes = uint64_t{kChunkBlocks} * kPageSize;

// A write that lies in one chunk. EAGAIN: it covers a part of a block that is absent.
ssize_t write_chunk(int fd, uint32_t index, const char* from, size_t n, off_t at) {
  auto start = static_cast<uint64_t>(at);
  uint64_t end = start + n;
  auto chunk = static_cast<uint32_t>(start / kChunkBytes);
  uint64_t base = chunk * kChunkBytes;
  auto block_of = [&](uint64_t byte) { return static_cast<uint32_t>((byte - base) / kPageSize); };
  ChunkMask touched = ChunkMask::range(block_of(start), block_of(end - 1) + 1 - block_of(start));
  ChunkMask cut;
  if (start % kPageSize != 0) cut = ChunkMask::range(block_of(start), 1);
  if (end % kPageSize != 0) cut = cut.with(ChunkMask::range(block_of(end), 1));

  ChunkLock lock(g_map, index, chunk);
  if (!g_map.absent(index, chunk, cut).empty()) return fail(EAGAIN);
  g_map.set_written(index, chunk, touched);
  ssize_t written = sys::pwrite(fd, from, n, at);
  if (written <= 0) return written;
  end = start + static_cast<uint64_t>(written);
  uint32_t whole_from = block_of(start + kPageSize - 1);
  if (block_of(end) > whole_from) {
    ChunkMask whole = ChunkMask::range(whole_from, block_of(end) - whole_from);
    g_map.count_returning(index, chunk, whole);
    g_map.set_present(index, chunk, whole);
  }
  g_map.note_end(index, static_cast<uint32_t>((end + kPageSize - 1) / kPageSize));
  return written;
}

// Fetches the block that these bytes are a part of.
int complete_block(int fd, uint32_t index, uint64_t at) {
  BlockSpan span = span_of(index, static_cast<off_t>(at), 1);
  return ensure_blocks(fd, index, span.first, span.end, false);
}

ssize_t write_piece(int fd, uint32_t index, const char* from, size_t n, off_t at) {
  for (;;) {
    ssize_t written = write_chunk(fd, index, from, n, at);
    if (written >= 0 || errno != EAGAIN) return written;
    int error = complete_block(fd, index, static_cast<uint64_t>(at));
    if (error == 0) error = complete_block(fd, index, static_cast<uint64_t>(at) + n - 1);
    if (error != 0) return fail(error);
  }
}

ssize_t write_once(int fd, uint32_t index, const void* from, size_t n, off_t at) {
  if (n == 0 || at < 0) return sys::pwrite(fd, from, n, at);
  const auto* bytes = static_cast<const char*>(from);
  size_t done = 0;
  while (done < n) {
    uint64_t position = static_cast<uint64_t>(at) + done;
    uint64_t room = kChunkBytes - position % kChunkBytes;
    size_t piece = n - done < room ? n - done : static_cast<size_t>(room);
    ssize_t written = write_piece(fd, index, bytes + done, piece, static_cast<off_t>(position));
    if (written < 0) return done != 0 ? static_cast<ssize_t>(done) : -1;
    done += static_cast<size_t>(written);
    if (static_cast<size_t>(written) < piece) break;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

int ensure_present(int fd, uint32_t index, off_t at, uint64_t bytes) {
  BlockSpan span = span_of(index, at, bytes);
  if (span.first == span.end) return 0;
  FdState& state = g_fds.state(fd);
  // At first next_block is past everything, so a first read is never sequential.
  bool sequential =
      span.first >= state.next_block && span.first - state.next_block <= kSequentialGap;
  state.next_block = span.end;
  return ensure_blocks(fd, index, span.first, span.end, sequential);
}

ssize_t read_blocks(int fd, uint32_t index, const iovec* parts, int count, off_t at) {
  uint64_t bytes = Target(parts, count).left();
  for (;;) {
    uint64_t evictions = g_map.header().evictions.load();
    if (int error = ensure_present(fd, index, at, bytes))
      return disk_is_full(error) ? read_without_room(fd, index, {parts, count}, at) : fail(error);
    ssize_t got = count == 1 ? sys::pread(fd, parts->iov_base, parts->iov_len, at)
                             : sys::preadv(fd, parts, count, at);
    if (g_map.header().evictions.load() == evictions) return got;
  }
}

bool prefetch(int fd, uint32_t index, off_t at, uint64_t bytes) {
  BlockSpan span = span_of(index, at, bytes);
  if (all_present(index, span)) return false;
  ClientLease lease;
  if (lease.get() == nullptr) return true;
  PageClient& client = *lease.get();
  client.receive_arrived();
  Wait wait(g_map.header().fetch_deadline_ms);
  for (uint32_t block = span.first; block < span.end && !client.full();) {
    ChunkMask blocks = worth_asking(client, index, block, span.end - block);
    uint32_t chunk = block / kChunkBlocks;
    if (!blocks.empty() && !client.send(index, chunk, blocks, fd, wait).good()) break;
    block = (chunk + 1) * kChunkBlocks;
  }
  return true;
}

int keep_here(int fd, uint32_t index, off_t at, uint64_t bytes) {
  pin_segment(index);
  BlockSpan span = span_of(index, at, bytes);
  return ensure_blocks(fd, index, span.first, span.end, true);
}

ssize_t write_blocks(int fd, uint32_t index, const void* from, size_t n, off_t at) {
  ssize_t written = write_once(fd, index, from, n, at);
  if (written < 0 && disk_is_full(errno)) {
    // What can be read again makes room for what cannot.
    evict_for_room(index, static_cast<uint32_t>(at / kPageSize / kChunkBlocks));
    written = write_once(fd, index, from, n, at);
  }
  if (written < 0 && disk_is_full(errno)) {
    give_up_for_room();
    written = write_once(fd, index, from, n, at);
  }
  keep_written_limit();
  return written;
}

}  // namespace halogen::shim
