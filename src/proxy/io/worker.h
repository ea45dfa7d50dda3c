// worker.h: one event loop, and what its sessions share. Touched by its own thread only, but for
// `loop`, to which any thread may post.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "protocol/pooler_status.h"
#include "proxy/io/loop.h"
#include "proxy/io/turns.h"

namespace halogen::proxy {

class Session;
class WebClient;

// Buffers lent to sessions between a read and the write of what was read.
class BufferPool {
 public:
  static constexpr size_t kBufferSize = 64 * 1024;

  std::unique_ptr<char[]> take() {
    if (free_.empty()) return std::make_unique_for_overwrite<char[]>(kBufferSize);
    std::unique_ptr<char[]> buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void give(std::unique_ptr<char[]> buffer) {
    if (free_.size() < kKept) free_.push_back(std::move(buffer));
  }

 private:
  static constexpr size_t kKept = 64;
  std::vector<std::unique_ptr<char[]>> free_;
};

class Buffer {
 public:
  explicit Buffer(BufferPool& pool) : pool_(pool), bytes_(pool.take()) {}
  ~Buffer() { pool_.give(std::move(bytes_)); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  std::span<char> span() { return {bytes_.get(), BufferPool::kBufferSize}; }
  const char* data() const { return bytes_.get(); }

 private:
  BufferPool& pool_;
  std::unique_ptr<char[]> bytes_;
};

// What the sessions of one endpoint and database have done on this worker.
struct Tally {
  PoolerTotals totals;
  steady_clock::time_point last_used = steady_clock::now();
};
using TallyPtr = std::shared_ptr<Tally>;

struct Worker : std::enable_shared_from_this<Worker> {
  BufferPool buffers;
  std::unordered_set<Session*> sessions;
  std::unordered_set<WebClient*> web_clients;
  std::list<Session*> newcomers;  // Not authenticated yet, the oldest first.
  std::map<std::pair<std::string, std::string>, TallyPtr> tallies;  // By endpoint and database.
  Turns handshakes{loop};
  // Last, so that it goes first: with it go the coroutines that still wait, which use the others.
  Loop loop;
};

}  // namespace halogen::proxy
