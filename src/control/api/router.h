// router.h: from a request's method and path to its route. Pure; fuzz/api_request.cc drives it.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "control/api/http.h"

namespace halogen::control::api {

struct Match {
  const Route* route = nullptr;             // None.
  std::map<std::string, std::string> path;  // By the names in the route's pattern, decoded.
};

class Router {
 public:
  // `table` must outlive this. Of two routes that fit, the one with more literal segments counts.
  explicit Router(const std::vector<Route>& table);

  // `target` as the request line has it, with escapes; what follows a '?' does not count. A segment
  // may hold an escaped slash. The names of roles and databases may be anything.
  Match find(std::string_view method, std::string_view target) const;

 private:
  struct Pattern {
    const Route* route;
    std::vector<std::string> segments;  // A name begins with ':'.
    size_t literals;
  };

  std::vector<Pattern> patterns_;  // Those with more literal segments first.
};

}  // namespace halogen::control::api
