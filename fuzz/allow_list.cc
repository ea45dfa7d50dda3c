// The text of an allow list: nothing may crash, and what is taken allows its own ends and not their
// neighbours.
#include "control/settings/allow_list.h"
#include "base/error.h"

namespace {

using namespace halogen;

void entry(const std::string& text) {
  control::AllowList list;
  try {
    list = control::AllowList::parse({text});
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
    return;
  }
  CHECK(!list.allows_everybody());
  size_t cut = text.find_first_of("/-");
  auto first = IpAddress::parse(text.substr(0, cut));
  CHECK(first && list.allows(*first));  // Of a network any of its addresses will do.
  if (cut != text.npos && text[cut] == '-')
    CHECK(list.allows(IpAddress::parse(text.substr(cut + 1)).value()));
  for (std::string_view other : {"192.0.2.1", "2001:db8::1"}) {
    IpAddress address = IpAddress::parse(other).value();
    if (address.is_v6() != first->is_v6()) CHECK(!list.allows(address));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  entry(text);
  if (auto address = IpAddress::parse(text)) {
    CHECK(IpAddress::parse(address->str()) == address);
    for (int prefix = 0; prefix <= address->bits(); prefix++)
      CHECK(address->first_of(prefix) <= *address && *address <= address->last_of(prefix));
  }
  // Lines together: each is allowed what it was allowed alone.
  std::vector<std::string> lines;
  std::vector<control::AllowList> alone;
  for (size_t at = 0; at < text.size() && lines.size() < 16;) {
    size_t end = std::min(text.find('\n', at), text.size());
    try {
      alone.push_back(control::AllowList::parse({text.substr(at, end - at)}));
      lines.push_back(text.substr(at, end - at));
    } catch (const Error&) {
    }
    at = end + 1;
  }
  control::AllowList together = control::AllowList::parse(lines);
  for (const std::string& line : lines) {
    auto address = IpAddress::parse(line.substr(0, line.find_first_of("/-"))).value();
    bool expected = false;
    for (const auto& list : alone) expected |= list.allows(address);
    CHECK(together.allows(address) == expected);
  }
  return 0;
}
