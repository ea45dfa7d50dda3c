#include "control/settings/allow_list.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace halogen::control {
namespace {

constexpr size_t kMaxEntries = 1000;

[[noreturn]] void refuse(std::string_view entry, std::string_view why) {
  throw Error(Errc::invalid_argument,
              "allowed_ips: \"{}\" {}: give an IPv4 or IPv6 address, a network such as "
              "192.0.2.0/24, or a range such as 192.0.2.1-192.0.2.20",
              entry.substr(0, 100), why);
}

}  // namespace

AllowList::Range AllowList::parse_entry(std::string_view entry) {
  size_t cut = entry.find_first_of("/-");
  std::optional<IpAddress> first = IpAddress::parse(entry.substr(0, cut));
  if (!first) refuse(entry, "is not an address");
  if (cut == entry.npos) return {*first, *first};
  std::string_view rest = entry.substr(cut + 1);
  if (entry[cut] == '-') {
    std::optional<IpAddress> last = IpAddress::parse(rest);
    if (!last) refuse(entry, "does not end with an address");
    if (last->is_v6() != first->is_v6()) refuse(entry, "mixes IPv4 and IPv6");
    if (*last < *first) refuse(entry, "ends before it begins");
    return {*first, *last};
  }
  int prefix = 0;
  auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), prefix);
  // Of ::ffff:192.0.2.0/120 the bits would be those of IPv6, and the address is one of IPv4.
  bool mapped = !first->is_v6() && entry.substr(0, cut).find(':') != entry.npos;
  if (rest.empty() || failed != std::errc() || end != rest.data() + rest.size() || prefix < 0 ||
      prefix > first->bits() || mapped)
    refuse(entry, "has no valid prefix length");
  // As Neon: bits behind the prefix do not matter.
  return {first->first_of(prefix), first->last_of(prefix)};
}

AllowList AllowList::parse(const std::vector<std::string>& entries) {
  if (entries.size() > kMaxEntries)
    throw Error(Errc::invalid_argument, "allowed_ips: more than {} entries", kMaxEntries);
  std::vector<Range> ranges;
  for (const std::string& entry : entries) ranges.push_back(parse_entry(entry));
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.first < b.first; });
  AllowList list;
  for (const Range& range : ranges) {
    if (!list.ranges_.empty() && range.first <= list.ranges_.back().last)
      list.ranges_.back().last = std::max(list.ranges_.back().last, range.last);
    else
      list.ranges_.push_back(range);
  }
  return list;
}

bool AllowList::allows(const IpAddress& address) const {
  if (ranges_.empty()) return true;
  auto after =
      std::upper_bound(ranges_.begin(), ranges_.end(), address,
                       [](const IpAddress& at, const Range& range) { return at < range.first; });
  return after != ranges_.begin() && address <= std::prev(after)->last;
}

}  // namespace halogen::control
