#include "proxy/auth/route.h"

#include <algorithm>

#include "postgres/startup.h"

namespace halogen::proxy {
namespace {

constexpr std::string_view kPooler = "-pooler";
constexpr size_t kMaxLabel = 63;  // DNS.

// nullopt for what cannot be an endpoint's name at all, so that odd bytes go no further.
std::optional<Route> route_of_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxLabel) return std::nullopt;
  Route route;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');  // Host names have no case.
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') return std::nullopt;
    route.endpoint.push_back(c);
  }
  if (route.endpoint.ends_with(kPooler)) {
    route.endpoint.resize(route.endpoint.size() - kPooler.size());
    route.pooled = true;
  }
  if (route.endpoint.empty()) return std::nullopt;
  return route;
}

std::optional<std::string_view> after_prefix(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

// Takes out the words for which `take` is true; and the parameter, if nothing is left of it.
template <typename Take>
void take_words_of_options(wire::Parameters& parameters, Take take) {
  auto options = std::find_if(parameters.begin(), parameters.end(),
                              [](const auto& parameter) { return parameter.first == "options"; });
  if (options == parameters.end()) return;
  std::vector<std::string> words = startup::split_options(options->second);
  if (std::erase_if(words, take) == 0) return;
  options->second = startup::join_options(words);
  if (words.empty()) parameters.erase(options);
}

}  // namespace

std::optional<Route> route_of_host(std::string_view host) {
  std::optional<Route> route = route_of_name(host.substr(0, host.find('.')));
  if (!route) return std::nullopt;
  const bool known_kind = route->endpoint.starts_with("ep-") || is_branch(*route);
  return known_kind ? route : std::nullopt;
}

std::optional<Route> take_route_of_options(wire::Parameters& parameters) {
  std::optional<Route> route;
  take_words_of_options(parameters, [&](std::string_view word) {
    auto name = after_prefix(word, "endpoint=");
    if (!name) name = after_prefix(word, "project=");
    if (!name) return false;
    if (auto named = route_of_name(*name)) route = std::move(named);
    return true;
  });
  return route;
}

void drop_driver_options(wire::Parameters& parameters) {
  static constexpr std::string_view kNames[] = {
      // libpq's, which never sends them itself; some names of its are settings, too, and stay.
      "channel_binding", "connect_timeout", "fallback_application_name", "gssencmode", "gsslib",
      "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
      "krbsrvname", "load_balance_hosts", "passfile", "require_auth", "requirepeer", "requiressl",
      "service", "sslcert", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslmode",
      "sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "target_session_attrs",
      // Prisma's and others'.
      "connection_limit", "pgbouncer", "pool_timeout", "schema", "socket_timeout", "sslaccept",
      "sslidentity", "statement_cache_size", "uselibpqcompat"};
  std::erase_if(parameters, [](const auto& parameter) {
    return std::ranges::find(kNames, parameter.first) != std::end(kNames);
  });
}

std::optional<std::string> take_moment_of_options(wire::Parameters& parameters) {
  std::optional<std::string> moment;
  take_words_of_options(parameters, [&](std::string_view word) {
    if (!word.starts_with("neon_lsn:") && !word.starts_with("neon_timestamp:")) return false;
    moment = word;
    return true;
  });
  return moment;
}

bool is_branch(const Route& route) { return route.endpoint.starts_with("br-"); }

std::optional<PasswordRoute> route_of_password(std::string_view text) {
  auto rest = after_prefix(text, "endpoint=");
  if (!rest) rest = after_prefix(text, "project=");
  if (!rest) return std::nullopt;
  size_t end = rest->find_first_of(";$");
  if (end == rest->npos) return std::nullopt;
  std::optional<Route> route = route_of_name(rest->substr(0, end));
  if (!route) return std::nullopt;
  return PasswordRoute{std::move(*route), rest->substr(end + 1)};
}

}  // namespace halogen::proxy
