#include "proxy/http/connection_string.h"

#include <algorithm>

#include "base/url.h"
#include "proxy/http/http_request.h"

namespace halogen::proxy {
namespace {

// Of those that a driver may put there, the ones that are for the server.
constexpr std::string_view kForServer[] = {"options", "application_name"};

[[noreturn]] void refuse(std::string_view why) { throw HttpError(400, why); }

std::string percent_decoded(std::string_view text) {
  std::string out = url_decoded(text);
  // It ends a string of Postgres' protocol.
  if (out.find('\0') != out.npos) refuse("invalid connection string: a zero byte in it");
  return out;
}

std::string form_decoded(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return percent_decoded(text);
}

// What is before `separator`, and what after, which may be nothing.
std::pair<std::string_view, std::string_view> split(std::string_view text, char separator) {
  size_t at = text.find(separator);
  if (at == text.npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

wire::Parameters server_parameters(std::string_view query) {
  wire::Parameters parameters;
  while (!query.empty()) {
    auto [one, rest] = split(query, '&');
    auto [name, value] = split(one, '=');
    std::string known = form_decoded(std::string(name));
    if (std::find(std::begin(kForServer), std::end(kForServer), known) != std::end(kForServer))
      parameters.emplace_back(known, form_decoded(std::string(value)));
    query = rest;
  }
  return parameters;
}

// Endpoints have names.
bool is_address(std::string_view host) {
  return host.starts_with('[') || host.find_first_not_of("0123456789.") == host.npos;
}

}  // namespace

ConnectionString parse_connection_string(std::string_view text) {
  size_t after = text.find("://");
  if (after == text.npos) refuse("invalid connection string: relative URL without a base");
  std::string_view scheme = text.substr(0, after);
  if (scheme != "postgres" && scheme != "postgresql") refuse("incorrect scheme");
  text.remove_prefix(after + 3);

  ConnectionString found;
  text = text.substr(0, text.find('#'));
  auto [place, query] = split(text, '?');
  auto [authority, path] = split(place, '/');
  size_t at = authority.rfind('@');
  std::string_view login = authority.substr(0, at == authority.npos ? 0 : at);
  std::string_view host = at == authority.npos ? authority : authority.substr(at + 1);
  auto [user, password] = split(login, ':');
  found.user = percent_decoded(user);
  found.password = percent_decoded(password);
  found.host = host.substr(0, host.find(':'));
  found.database = percent_decoded(split(path, '/').first);
  found.parameters = server_parameters(query);
  if (found.user.empty()) refuse("missing username");
  if (found.password.empty()) refuse("missing authentication credentials: required password");
  if (is_address(found.host)) refuse("missing hostname");
  return found;
}

}  // namespace halogen::proxy
