#include "control/api/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "control/api/http.h"

namespace halogen::control::api {

using console::ConsoleFile;
using console::ConsoleSessions;
using nlohmann::json;

namespace {

// Scripts only from here, none inline; styles are set by scripts (the editor's, menus'), which
// needs 'unsafe-inline' for them alone.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool is_of_the_api(const std::string& path) {
  constexpr std::array<std::string_view, 3> kFolders{"/api/", "/internal/", "/sql/"};
  constexpr std::array<std::string_view, 8> kPaths{"/api",     "/internal", "/status", "/metrics",
                                                   "/healthz", "/sql",      "/v2",     "/v1"};
  return std::any_of(kFolders.begin(), kFolders.end(),
                     [&](std::string_view folder) { return path.starts_with(folder); }) ||
         std::find(kPaths.begin(), kPaths.end(), path) != kPaths.end();
}

// The value of one cookie of the header, or empty.
std::string cookie_in(const std::string& header, const std::string& name) {
  size_t at = 0;
  while (at < header.size()) {
    size_t end = std::min(header.find(';', at), header.size());
    size_t begin = header.find_first_not_of(' ', at);
    if (begin < end && header.compare(begin, name.size(), name) == 0 && begin + name.size() < end &&
        header[begin + name.size()] == '=')
      return header.substr(begin + name.size() + 1, end - begin - name.size() - 1);
    at = end + 1;
  }
  return "";
}

// "http://host:port" names the host that the request was sent to.
bool is_own_origin(const httplib::Request& request) {
  std::string site = request.get_header_value("Sec-Fetch-Site");
  if (!site.empty() && site != "same-origin") return false;
  if (!request.has_header("Origin")) return true;
  std::string origin = request.get_header_value("Origin");
  size_t host = origin.find("://");
  return host != std::string::npos && origin.substr(host + 3) == request.get_header_value("Host");
}

}  // namespace

Console::Console(std::shared_ptr<const console::ConsoleFiles> files, ConsoleSessions& sessions,
                 int port)
    : files_(std::move(files)),
      sessions_(sessions),
      cookie_(fmt::format("halogen_session_{}", port)) {}

bool Console::serves(const httplib::Request& request) const {
  return files_ != nullptr && (request.method == "GET" || request.method == "HEAD") &&
         !is_of_the_api(request.path);
}

void Console::serve(const httplib::Request& request, httplib::Response& response) const {
  const ConsoleFile* file = files_->find(request.path);
  response.set_header("X-Content-Type-Options", "nosniff");
  if (file == nullptr) {
    response.status = 404;
    response.set_content("there is no such file\n", "text/plain");
    return;
  }
  response.set_header("Content-Security-Policy", kPolicy);
  response.set_header("Referrer-Policy", "no-referrer");
  response.set_header("Cross-Origin-Opener-Policy", "same-origin");
  response.set_header("Vary", "Accept-Encoding");
  response.set_header("ETag", file->etag);
  response.set_header("Cache-Control",
                      file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  if (request.get_header_value("If-None-Match") == file->etag) {
    response.status = 304;
    return;
  }
  const bool compressed =
      !file->gzip.empty() &&
      request.get_header_value("Accept-Encoding").find("gzip") != std::string::npos;
  if (compressed) response.set_header("Content-Encoding", "gzip");
  const std::string& content = compressed ? file->gzip : file->content;
  response.status = 200;
  // By a provider: the library would compress a body once more.
  response.set_content_provider(
      content.size(), file->type,
      [files = files_, &content](size_t offset, size_t length, httplib::DataSink& sink) {
        return sink.write(content.data() + offset, length);
      });
}

std::string Console::token(const httplib::Request& request) const {
  if (!request.has_header("X-Halogen-Console") || !is_own_origin(request)) return "";
  return cookie_in(request.get_header_value("Cookie"), cookie_);
}

bool Console::admits(const httplib::Request& request) const {
  return sessions_.admits(token(request));
}

std::string Console::set_cookie(const std::string& token, bool secure) const {
  const auto age = token.empty() ? std::chrono::seconds(0) : console::kSessionTime;
  return fmt::format("{}={}; Path=/api; Max-Age={}; HttpOnly; SameSite=Strict{}", cookie_, token,
                     std::chrono::seconds(age).count(), secure ? "; Secure" : "");
}

// --- /api/v2/console: routes of our own, not Neon's
// -----------------------------------------------

namespace {

Console& console_of(Services& services) {
  if (services.console == nullptr) throw Error(Errc::not_found, "there is no console");
  return *services.console;
}

Response signed_in(Console& console, const Request& request, const std::string& token) {
  Response response = json_response(201, {{"signed_in", true}});
  response.headers.emplace_back("Set-Cookie", console.set_cookie(token, request.by_https));
  return response;
}

ConsoleSessions::SignIn try_to_enter(ConsoleSessions& sessions, const Request& request) {
  const json body = request.body_json();
  if (std::string key = text_or(body, "api_key", ""); !key.empty())
    return sessions.with_key(key, request.address);
  if (std::string password = text_or(body, "password", ""); !password.empty())
    return sessions.with_password(password, request.address);
  if (std::string link = text_or(body, "link", ""); !link.empty())
    return sessions.with_link(link, request.address);
  throw Error(Errc::invalid_argument, "api_key, password or link is required");
}

}  // namespace

Response get_console_session(Services& services, const Request& request) {
  Console& console = console_of(services);
  return json_response(200, {{"signed_in", console.sessions().admits(request.session)}});
}

Response create_console_session(Services& services, const Request& request) {
  Console& console = console_of(services);
  // A page elsewhere signs nobody in here.
  if (!request.from_console)
    throw Error(Errc::permission_denied, "the header X-Halogen-Console is missing");
  ConsoleSessions::SignIn entry = try_to_enter(console.sessions(), request);
  if (entry.outcome == ConsoleSessions::SignIn::Outcome::too_many)
    throw ApiError(429, "TOO_MANY_SIGN_INS",
                   "too many failed sign-ins: wait a minute, then try again");
  if (entry.outcome == ConsoleSessions::SignIn::Outcome::wrong)
    throw ApiError(401, "SIGN_IN_FAILED",
                   "this does not let you in: it is wrong, has been changed, or was used already");
  return signed_in(console, request, entry.token);
}

Response delete_console_session(Services& services, const Request& request) {
  Console& console = console_of(services);
  console.sessions().sign_out(request.session);
  Response response = json_response(200, {{"signed_in", false}});
  response.headers.emplace_back("Set-Cookie", console.set_cookie("", request.by_https));
  return response;
}

Response create_sign_in_link(Services& services, const Request&) {
  Console& console = console_of(services);
  json platform = json::parse(services.platform.empty() ? "{}" : services.platform);
  return json_response(201, {{"url", platform.value("http_url", "") + "/sign-in#" +
                                         console.sessions().make_link()}});
}

}  // namespace halogen::control::api
