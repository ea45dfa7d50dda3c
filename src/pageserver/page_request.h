// page_request.h: page service requests out of received bytes. No I/O.
#pragma once
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "protocol/page_service.h"

namespace halogen::pageserver {

struct ParsedPageRequest {
  PageRequest head;
  std::vector<PageKey> pages;  // In the order they are answered.
  size_t size = 0;             // Bytes consumed.
};

// The first request in `received`; nullopt while it is incomplete. Throws invalid_argument on
// anything malformed: the connection cannot go on after that.
std::optional<ParsedPageRequest> parse_page_request(Bytes received);
// The id to answer with when parse_page_request has thrown; 0 if there is none.
uint64_t page_request_id(Bytes received);

}  // namespace halogen::pageserver
