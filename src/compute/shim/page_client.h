// page_client.h: this process's connection to the page service.
//
// Requests are pipelined: answers come in the order they were asked for, and each answer's pages
// are handed to install_pages() as they arrive. Made at first use; after fork the child starts
// afresh. Not for several threads at once: take a ClientLease.
#pragma once
#include "compute/shim/pending.h"

namespace halogen::shim {

// Until when to wait for an answer. A cancel of the query shortens it: not at once, so that a page
// that is about to come lets the query end with Postgres' own error for a cancel.
class Wait {
 public:
  explicit Wait(uint32_t milliseconds);
  // 0 when the descriptor is ready for poll's `events`, else ETIMEDOUT or ECANCELED. With fd -1 and
  // a limit, sleeps so long and returns 0.
  int until_ready(int fd, short events, int limit_ms = -1);
  uint32_t left_ms() const;
  int64_t elapsed_us() const;

 private:
  int64_t started_us_;
  int64_t deadline_ms_;
  int64_t cancel_ms_ = 0;
};

// How an attempt to get pages ended. `error` is an errno for the caller of read().
struct Outcome {
  enum Kind {
    ok,
    lost,       // No connection, or storage is not able to now: trying again may help.
    refused,    // Trying the same again will not help.
    timed_out,  // The Wait ended.
    cancelled,
    local,  // The page came but could not be written to the local file.
  };
  Kind kind = ok;
  int error = 0;

  bool good() const { return kind == ok; }
};

class PageClient {
 public:
  static constexpr uint32_t kMaxPending = 32;
  static constexpr uint32_t kPiecePages = 32;

  // Which blocks of a chunk are on their way.
  ChunkMask in_flight(uint32_t entry, uint32_t chunk) const;
  bool full() const { return pending_count_ == kMaxPending; }
  // Sends, connecting first if need be; does not wait for the answer.
  Outcome send(uint32_t entry, uint32_t chunk, const ChunkMask& blocks, int fd, Wait& wait);
  // Asks for blocks that are here, and receives them, and all that was asked for before.
  Outcome compare(uint32_t entry, uint32_t chunk, const ChunkMask& blocks, Wait& wait);
  // Receives the answer to the oldest request, of which there is one.
  Outcome receive_head(Wait& wait);
  // Receives answers up to and with the one that has this block.
  Outcome receive(uint32_t entry, uint32_t block, Wait& wait);
  // For what is received from now on.
  void set_direct(const DirectRead& direct) { direct_ = direct; }
  bool read_directly() const { return direct_.done; }
  // Receives what has arrived by now, without waiting for more answers.
  void receive_arrived();
  void disconnect();
  // What the last failure was, for the log.
  const char* error_text() const { return error_text_; }

 private:
  friend class ClientLease;
  Outcome send(const Pending& what, Wait& wait);
  Outcome connect(Wait& wait);
  Outcome receive_hello(Wait& wait);
  Outcome receive_pages(const Pending& head, Wait& wait);
  Outcome receive_refusal(PageStatus status, uint32_t bytes, Wait& wait);
  Outcome send_bytes(const void* from, size_t n, Wait& wait);
  Outcome receive_bytes(void* to, size_t n, Wait& wait);
  Outcome lose(const char* what, int error);
  char* buffer() const;

  int fd_ = -1;
  bool hello_pending_ = false;
  bool in_use_ = false;
  uint64_t last_id_ = 0;
  uint32_t pending_first_ = 0;  // A ring.
  uint32_t pending_count_ = 0;
  Pending pending_[kMaxPending] = {};
  DirectRead direct_;
  char error_text_[256] = {};
};

// The process's client, or, if a signal handler interrupted its user, a second one. Null if both
// are in use.
class ClientLease {
 public:
  ClientLease();
  ~ClientLease();
  ClientLease(const ClientLease&) = delete;
  ClientLease& operator=(const ClientLease&) = delete;
  PageClient* get() const { return client_; }

  // In the child of a fork: forgets the parent's connections.
  static void reset_all();

 private:
  PageClient* client_ = nullptr;
};

}  // namespace halogen::shim
