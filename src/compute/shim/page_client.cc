#include "compute/shim/page_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <cstring>

#include "compute/shim/eviction.h"
#include "compute/shim/install.h"
#include "compute/shim/server_state.h"
#include "compute/shim/sys.h"

namespace halogen::shim {
namespace {

constexpr int kPollSliceMs = 100;  // A signal between the check and poll() is noticed by then.
constexpr int64_t kCancelGraceMs = 300;

constexpr size_t kClients = 2;
constinit PageClient g_clients[kClients];
// Apart from the clients, which are not all zero and so would bring these along in the file.
alignas(4096) constinit char g_buffers[kClients][PageClient::kPiecePages * kPageSize] = {};

}  // namespace

char* PageClient::buffer() const { return g_buffers[this - g_clients]; }

Wait::Wait(uint32_t milliseconds)
    : started_us_(now_us()), deadline_ms_(started_us_ / 1000 + milliseconds) {}

uint32_t Wait::left_ms() const {
  int64_t left = deadline_ms_ - now_ms();
  return left > 0 ? static_cast<uint32_t>(left) : 0;
}

int64_t Wait::elapsed_us() const { return now_us() - started_us_; }

int Wait::until_ready(int fd, short events, int limit_ms) {
  int64_t limit = limit_ms < 0 ? INT64_MAX : now_ms() + limit_ms;
  for (;;) {
    int64_t now = now_ms();
    if (now >= limit) return 0;
    if (now >= deadline_ms_) return ETIMEDOUT;
    if (cancel_ms_ == 0 && interrupt_pending()) cancel_ms_ = now + kCancelGraceMs;
    if (cancel_ms_ != 0 && now >= cancel_ms_) return ECANCELED;
    int64_t slice = kPollSliceMs;
    if (deadline_ms_ - now < slice) slice = deadline_ms_ - now;
    if (limit - now < slice) slice = limit - now;
    pollfd poll_fd = {fd, events, 0};
    if (::poll(&poll_fd, 1, static_cast<int>(slice)) > 0) return 0;
  }
}

ChunkMask PageClient::in_flight(uint32_t entry, uint32_t chunk) const {
  ChunkMask mask;
  for (uint32_t i = 0; i < pending_count_; ++i) {
    const Pending& p = pending_[(pending_first_ + i) % kMaxPending];
    if (p.entry != entry || p.chunk != chunk || p.compare) continue;
    for (uint32_t w = 0; w < kChunkWords; ++w) mask.words[w] |= p.blocks.words[w];
  }
  return mask;
}

void PageClient::disconnect() {
  if (fd_ >= 0) sys::close(fd_);
  fd_ = -1;
  hello_pending_ = false;
  pending_count_ = 0;
}

// Ends the connection. `error` may be a Wait's.
Outcome PageClient::lose(const char* what, int error) {
  disconnect();
  std::snprintf(error_text_, sizeof error_text_, "%s: %s", what,
                error == 0 ? "connection closed" : std::strerror(error));
  if (error == ETIMEDOUT) return {Outcome::timed_out, EIO};
  if (error == ECANCELED) return {Outcome::cancelled, EIO};
  return {Outcome::lost, EIO};
}

Outcome PageClient::connect(Wait& wait) {
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return lose("socket", errno);
  const ManifestHeader& header = g_map.header();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  static_assert(sizeof address.sun_path == sizeof header.socket_path);
  std::memcpy(address.sun_path, header.socket_path, sizeof address.sun_path);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return lose("connect", errno);
  PageHello hello;
  hello.token = header.token;
  hello_pending_ = true;
  return send_bytes(&hello, sizeof hello, wait);
}

Outcome PageClient::send_bytes(const void* from, size_t n, Wait& wait) {
  const auto* p = static_cast<const char*>(from);
  while (n != 0) {
    ssize_t sent = ::send(fd_, p, n, MSG_NOSIGNAL);
    if (sent > 0) {
      p += sent;
      n -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      if (int error = wait.until_ready(fd_, POLLOUT)) return lose("send", error);
    } else if (errno != EINTR) {
      return lose("send", errno);
    }
  }
  return {};
}

Outcome PageClient::receive_bytes(void* to, size_t n, Wait& wait) {
  auto* p = static_cast<char*>(to);
  while (n != 0) {
    ssize_t got = ::recv(fd_, p, n, 0);
    if (got > 0) {
      p += got;
      n -= static_cast<size_t>(got);
    } else if (got == 0) {
      return lose("receive", 0);
    } else if (errno == EAGAIN) {
      if (int error = wait.until_ready(fd_, POLLIN)) return lose("receive", error);
    } else if (errno != EINTR) {
      return lose("receive", errno);
    }
  }
  return {};
}

Outcome PageClient::send(uint32_t entry, uint32_t chunk, const ChunkMask& blocks, int fd,
                         Wait& wait) {
  return send(
      {.entry = entry, .chunk = chunk, .blocks = blocks, .fd = fd, .generation = generation_of(fd)},
      wait);
}

Outcome PageClient::compare(uint32_t entry, uint32_t chunk, const ChunkMask& blocks, Wait& wait) {
  while (full()) receive_head(wait);
  Outcome outcome =
      send({.entry = entry, .chunk = chunk, .blocks = blocks, .fd = -1, .compare = true}, wait);
  while (outcome.good() && pending_count_ != 0) outcome = receive_head(wait);
  return outcome;
}

Outcome PageClient::send(const Pending& what, Wait& wait) {
  if (fd_ < 0) {
    Outcome outcome = connect(wait);
    if (!outcome.good()) return outcome;
  }
  struct {
    PageRequest request;
    PageRange ranges[kMaxRangesPerRequest];
  } message;
  static_assert(kChunkBlocks / 2 <= kMaxRangesPerRequest && kChunkBlocks <= kMaxPagesPerRequest);
  message.request.id = ++last_id_;
  message.request.lsn = g_map.header().read_lsn.load();
  message.request.deadline_ms = wait.left_ms();
  uint32_t ranges = 0;
  for (uint32_t i = 0; i < kChunkBlocks; ++i) {
    if (!what.blocks.test(i)) continue;
    PageRange& range = message.ranges[ranges++];
    range.first = key_of(g_map.entry(what.entry), what.chunk * kChunkBlocks + i);
    range.pages = 0;
    for (; i < kChunkBlocks && what.blocks.test(i); ++i) ++range.pages;
  }
  message.request.ranges = ranges;
  Outcome outcome = send_bytes(&message, sizeof(PageRequest) + ranges * sizeof(PageRange), wait);
  if (!outcome.good()) return outcome;
  Pending& p = pending_[(pending_first_ + pending_count_++) % kMaxPending];
  p = what;
  p.id = last_id_;
  p.lsn = message.request.lsn;
  g_map.counters().requests.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Outcome PageClient::receive_hello(Wait& wait) {
  PageHelloReply reply;
  Outcome outcome = receive_bytes(&reply, sizeof reply, wait);
  if (!outcome.good()) return outcome;
  hello_pending_ = false;
  if (reply.magic == kPageServiceMagic && reply.status == PageStatus::ok) return {};
  disconnect();
  std::snprintf(error_text_, sizeof error_text_, "hello: status %u",
                static_cast<unsigned>(reply.status));
  return {reply.status == PageStatus::unavailable ? Outcome::lost : Outcome::refused, EIO};
}

// Consumes the oldest request's answer.
Outcome PageClient::receive_head(Wait& wait) {
  if (hello_pending_) {
    Outcome outcome = receive_hello(wait);
    if (!outcome.good()) return outcome;
  }
  PageReply reply;
  Outcome outcome = receive_bytes(&reply, sizeof reply, wait);
  if (!outcome.good()) return outcome;
  Pending head = pending_[pending_first_];
  uint64_t body = uint64_t{head.blocks.count()} * kPageSize;
  bool ok = reply.status == PageStatus::ok;
  if (reply.id != head.id || (ok ? reply.body != body : reply.body > kMaxErrorText))
    return lose("answer", EPROTO);
  outcome = ok ? receive_pages(head, wait) : receive_refusal(reply.status, reply.body, wait);
  if (fd_ >= 0) {  // Still connected: this answer is consumed.
    pending_first_ = (pending_first_ + 1) % kMaxPending;
    --pending_count_;
  }
  return outcome;
}

Outcome PageClient::receive_pages(const Pending& head, Wait& wait) {
  Outcome result;
  ChunkMask left = head.blocks;
  while (!left.empty()) {
    ChunkMask piece;
    uint32_t pages = 0;
    for (uint32_t i = 0; i < kChunkBlocks && pages < kPiecePages; ++i) {
      if (!left.test(i)) continue;
      piece.words[i / 64] |= uint64_t{1} << (i % 64);
      left.clear(i);
      ++pages;
    }
    Outcome outcome = receive_bytes(buffer(), size_t{pages} * kPageSize, wait);
    if (!outcome.good()) return outcome;
    g_map.counters().pages_fetched.fetch_add(pages, std::memory_order_relaxed);
    if (head.compare) {
      give_up_same(head, piece, buffer());
      continue;
    }
    int error = install_pages(head, piece, buffer(), direct_);
    if (error == ENOSPC || error == EDQUOT)
      evict_for_room(head.entry, head.chunk);
    else
      keep_cache_limit(head.entry, head.chunk);
    if (error != 0 && result.good()) {
      std::snprintf(error_text_, sizeof error_text_, "writing the local file: %s",
                    std::strerror(error));
      result = {Outcome::local, error};
    }
  }
  return result;
}

Outcome PageClient::receive_refusal(PageStatus status, uint32_t bytes, Wait& wait) {
  char text[kMaxErrorText + 1];
  Outcome outcome = receive_bytes(text, bytes, wait);
  if (!outcome.good()) return outcome;
  text[bytes] = 0;
  std::snprintf(error_text_, sizeof error_text_, "status %u: %.200s", static_cast<unsigned>(status),
                text);
  bool later = status == PageStatus::timed_out || status == PageStatus::unavailable;
  return {later ? Outcome::lost : Outcome::refused, EIO};
}

Outcome PageClient::receive(uint32_t entry, uint32_t block, Wait& wait) {
  while (pending_count_ != 0) {
    const Pending& head = pending_[pending_first_];
    bool wanted = head.entry == entry && head.chunk == block / kChunkBlocks && !head.compare &&
                  head.blocks.test(block % kChunkBlocks);
    Outcome outcome = receive_head(wait);
    // What happens to an answer that nobody waits for matters only if it ends the connection.
    if (wanted || fd_ < 0) return outcome;
  }
  return {};
}

void PageClient::receive_arrived() {
  Wait wait(g_map.header().fetch_deadline_ms);
  while (pending_count_ != 0) {
    pollfd poll_fd = {fd_, POLLIN, 0};
    if (::poll(&poll_fd, 1, 0) <= 0) return;
    receive_head(wait);
  }
}

ClientLease::ClientLease() {
  for (PageClient& client : g_clients) {
    if (__atomic_exchange_n(&client.in_use_, true, __ATOMIC_ACQUIRE)) continue;
    client_ = &client;
    client.direct_ = {};  // Whose page it was is gone.
    return;
  }
}

ClientLease::~ClientLease() {
  if (client_ != nullptr) __atomic_store_n(&client_->in_use_, false, __ATOMIC_RELEASE);
}

void ClientLease::reset_all() {
  for (PageClient& client : g_clients) {
    client.disconnect();
    client.in_use_ = false;
  }
}

}  // namespace halogen::shim
