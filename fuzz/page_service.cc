// Requests on the page service: whatever a compute sends is parsed within bounds, or refused.
#include "base/error.h"
#include "pageserver/page_request.h"

using namespace halogen;
using namespace halogen::pageserver;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes received(reinterpret_cast<const std::byte*>(data), size);
  try {
    while (auto request = parse_page_request(received)) {
      CHECK(!request->pages.empty() && request->pages.size() <= kMaxPagesPerRequest);
      CHECK(request->size <= received.size() && request->head.lsn != 0);
      for (const PageKey& key : request->pages)
        CHECK(key.tag.fork < kForks && key.tag.kind <= PageKind::slru);
      received = received.subspan(request->size);
    }
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument, "{}", error.what());
    (void)page_request_id(received);
  }
  return 0;
}
