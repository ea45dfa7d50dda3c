#include "control/api/router.h"

#include <algorithm>

#include "base/url.h"

namespace halogen::control::api {
namespace {

constexpr size_t kMostSegments = 16;

// Empty if there are too many: no route has so many. A slash at the end does not count.
std::vector<std::string_view> segments_of(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (path.starts_with('/')) path.remove_prefix(1);
  if (path.ends_with('/')) path.remove_suffix(1);
  std::vector<std::string_view> segments;
  for (;;) {
    const size_t slash = std::min(path.find('/'), path.size());
    segments.push_back(path.substr(0, slash));
    if (segments.size() > kMostSegments) return {};
    if (slash == path.size()) return segments;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Router::Router(const std::vector<Route>& table) {
  for (const Route& route : table) {
    Pattern pattern{&route, {}, 0};
    for (std::string_view segment : segments_of(route.pattern)) {
      pattern.segments.emplace_back(segment);
      if (!segment.starts_with(':')) ++pattern.literals;
    }
    patterns_.push_back(std::move(pattern));
  }
  std::ranges::sort(patterns_, std::ranges::greater(), &Pattern::literals);
}

Match Router::find(std::string_view method, std::string_view target) const {
  const std::vector<std::string_view> segments = segments_of(target);
  for (const Pattern& pattern : patterns_) {
    if (pattern.segments.size() != segments.size() || method != pattern.route->method) continue;
    Match match{pattern.route, {}};
    for (size_t i = 0; i < segments.size() && match.route != nullptr; ++i) {
      const std::string text = url_decoded(segments[i]);
      if (!pattern.segments[i].starts_with(':')) {
        if (text != pattern.segments[i]) match.route = nullptr;
      } else if (text.empty()) {
        match.route = nullptr;
      } else {
        match.path[pattern.segments[i].substr(1)] = text;
      }
    }
    if (match.route != nullptr) return match;
  }
  return {};
}

}  // namespace halogen::control::api
