// page_service.h: how a compute's shim asks a pageserver for pages, over a stream socket.
//
// The client sends one PageHello, the server answers one PageHelloReply and closes unless status is
// ok. Then requests may be pipelined: each is a PageRequest followed by `ranges` PageRanges; each
// is answered, in order, by a PageReply followed by `body` bytes: with status ok the pages of all
// ranges one after another (pages * 8192 bytes), else an error text. All integers are
// little-endian, all structs packed as they stand.
//
// The token names a session made by PageserverAdmin::open_session: it binds the connection to one
// timeline, so that no request can name another tenant's data. A page past the end of its relation
// at that LSN reads as zeros.
#pragma once
#include <cstdint>

#include "protocol/page_key.h"

namespace halogen {

constexpr uint32_t kPageServiceMagic = 0x53504748;  // "HGPS"
constexpr uint32_t kPageServiceVersion = 1;
constexpr uint32_t kMaxPagesPerRequest = 256;
constexpr uint32_t kMaxRangesPerRequest = 64;
constexpr uint32_t kMaxErrorText = 1024;

struct PageToken {
  uint8_t bytes[32] = {};
};

enum class PageStatus : uint32_t {
  ok = 0,
  bad_request = 1,  // Malformed: the server closes after this answer.
  denied = 2,       // Unknown token or wrong version: the server closes.
  timed_out = 3,    // WAL did not arrive, or the page was not ready, by the deadline.
  gone = 4,         // The LSN is below the history that is kept.
  corrupt = 5,      // Storage found damaged bytes; nothing was made up.
  unavailable = 6,  // Storage is stopping or overloaded; try again.
};

struct PageHello {
  uint32_t magic = kPageServiceMagic;
  uint32_t version = kPageServiceVersion;
  PageToken token;
};
static_assert(sizeof(PageHello) == 40);

struct PageHelloReply {
  uint32_t magic = kPageServiceMagic;
  PageStatus status = PageStatus::ok;
};

struct PageRequest {
  uint64_t id = 0;           // Echoed in the reply.
  uint64_t lsn = 0;          // The pages are wanted as of this LSN.
  uint32_t deadline_ms = 0;  // From when the server reads the request.
  uint32_t ranges = 0;       // 1..kMaxRangesPerRequest PageRanges follow.
};
static_assert(sizeof(PageRequest) == 24);

struct PageRange {
  PageKey first;
  uint32_t pages = 0;  // Over all ranges of a request at most kMaxPagesPerRequest.
};
static_assert(sizeof(PageRange) == 24);

struct PageReply {
  uint64_t id = 0;
  PageStatus status = PageStatus::ok;
  uint32_t body = 0;  // Bytes that follow.
};
static_assert(sizeof(PageReply) == 16);

}  // namespace halogen
