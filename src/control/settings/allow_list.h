// allow_list.h: from which addresses clients may connect, as a project's `allowed_ips` say. Pure.
//
// Each entry is an address, a network in CIDR notation or a range with a dash, as in Neon:
// "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "192.0.2.1-192.0.2.20".
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"

namespace halogen::control {

class AllowList {
 public:
  // An empty list allows everybody. Throws invalid_argument naming the entry that is none.
  static AllowList parse(const std::vector<std::string>& entries);

  bool allows(const IpAddress& address) const;
  bool allows_everybody() const { return ranges_.empty(); }

 private:
  struct Range {
    IpAddress first;
    IpAddress last;
  };
  static Range parse_entry(std::string_view entry);

  std::vector<Range> ranges_;  // Sorted, apart from each other.
};

}  // namespace halogen::control
