// Pages as storage has them, for tests and tools that compare them with a compute's own.
#include "control/api/http.h"

namespace halogen::control::api {
namespace {

constexpr int64_t kMostPages = 1024;
constexpr auto kDeadline = std::chrono::seconds(60);

}  // namespace

// ?spc=&db=&rel=&fork=&first=&count=&lsn=: count * 8192 bytes.
Response read_pages(Services& services, const Request& request) {
  auto number = [&](const char* name) {
    return static_cast<uint32_t>(request.query_number(name, 0, 0, UINT32_MAX));
  };
  TimelineId timeline = TimelineId::parse(request.at("timeline_id"));
  std::optional<Lsn> lsn = Lsn::parse(request.query_or("lsn", ""));
  if (!lsn) throw Error(Errc::invalid_argument, "lsn must look like 0/16B3748");
  auto fork = static_cast<Fork>(request.query_number("fork", 0, 0, kForks - 1));
  RelTag tag = RelTag::relation(number("spc"), number("db"), number("rel"), fork);
  int64_t count = request.query_number("count", 1, 1, kMostPages);
  uint32_t first = number("first");
  Deadline deadline = Deadline::after(kDeadline);
  services.pageserver.wait_for_lsn(timeline, *lsn, deadline);
  Response response{200, {}, "application/octet-stream"};
  for (int64_t i = 0; i < count; ++i) {
    PageKey key{tag, first + static_cast<uint32_t>(i)};
    response.body += services.pageserver.read_page(timeline, key, *lsn, deadline);
  }
  return response;
}

}  // namespace halogen::control::api
