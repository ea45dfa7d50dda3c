#include "pageserver/page_request.h"

#include "base/error.h"

namespace halogen::pageserver {

namespace {

void add_range(const PageRange& range, std::vector<PageKey>& pages) {
  const RelTag& tag = range.first.tag;
  if (tag.kind > PageKind::slru || tag.unused != 0)
    throw Error(Errc::invalid_argument, "a page of kind {}", static_cast<int>(tag.kind));
  if (tag.fork >= (tag.is_slru() ? kSlrus : kForks))
    throw Error(Errc::invalid_argument, "a page of fork {}", tag.fork);
  if (tag.is_slru() && (tag.spc != 0 || tag.db != 0 || tag.rel != 0))
    throw Error(Errc::invalid_argument, "an SLRU page that names a relation");
  if (range.pages == 0 || range.pages > kMaxPagesPerRequest - pages.size())
    throw Error(Errc::invalid_argument, "{} pages in a range, after {}", range.pages, pages.size());
  if (range.first.block > UINT32_MAX - range.pages)
    throw Error(Errc::invalid_argument, "a range that ends after the last block");
  for (uint32_t i = 0; i < range.pages; i++) pages.push_back({tag, range.first.block + i});
}

}  // namespace

uint64_t page_request_id(Bytes received) {
  return received.size() < sizeof(uint64_t) ? 0 : load<uint64_t>(received.data());
}

std::optional<ParsedPageRequest> parse_page_request(Bytes received) {
  if (received.size() < sizeof(PageRequest)) return std::nullopt;
  Reader in(received);
  ParsedPageRequest out;
  out.head = in.get<PageRequest>();
  if (out.head.ranges == 0 || out.head.ranges > kMaxRangesPerRequest)
    throw Error(Errc::invalid_argument, "a request of {} ranges", out.head.ranges);
  if (out.head.lsn == 0) throw Error(Errc::invalid_argument, "a request without an LSN");
  out.size = sizeof(PageRequest) + out.head.ranges * sizeof(PageRange);
  if (received.size() < out.size) return std::nullopt;
  for (uint32_t i = 0; i < out.head.ranges; i++) add_range(in.get<PageRange>(), out.pages);
  return out;
}

}  // namespace halogen::pageserver
