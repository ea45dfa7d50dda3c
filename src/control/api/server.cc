#include "control/api/server.h"

#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/ids.h"
#include "base/log.h"
#include "base/metrics.h"
#include "control/api/bounded_server.h"
#include "control/api/console.h"
#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

const log::Logger logger("api");

constexpr size_t kThreads = 32;  // Of requests that are being answered.
constexpr size_t kMostStrangersBody = 4 << 10;

int http_status(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return 400;
    case Errc::permission_denied:
      return 403;
    case Errc::not_found:
      return 404;
    case Errc::already_exists:
      return 409;
    case Errc::gone:
      return 410;
    case Errc::conflict:
      return 422;
    case Errc::timed_out:
    case Errc::unavailable:
    case Errc::cancelled:
      return 503;
    default:
      return 500;
  }
}

void send_error(httplib::Response& response, int status, const std::string& code,
                const std::string& message) {
  std::string request_id = response.get_header_value("x-neon-ret-request-id");
  json body = {{"request_id", request_id}, {"code", code}, {"message", message}};
  response.status = status;
  if (status == 503) response.set_header("Retry-After", "1");
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace),
                       "application/json");
}

// Only what is on the list of routes as open is.
bool needs_key(const Services& services, const httplib::Request& request) {
  for (const Route& route : routes()) {
    if (route.pattern != request.path || route.method != request.method) continue;
    if (route.key == Route::Key::not_needed) return false;
    if (route.key == Route::Key::needed_unless_open_metrics) return !services.open_metrics;
  }
  return true;
}

bool authorized(Services& services, const httplib::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string header = request.get_header_value("Authorization");
  if (header.empty() && services.console != nullptr) return services.console->admits(request);
  if (header.size() <= kScheme.size() || header.compare(0, kScheme.size(), kScheme) != 0)
    return false;
  return services.catalog.knows_api_key(header.substr(kScheme.size()));
}

// "/a/:b/c" as "/a/([^/]+)/c", and the names in their order.
std::string as_regex(const std::string& pattern, std::vector<std::string>& names) {
  std::string regex;
  size_t at = 0;
  while (at < pattern.size()) {
    if (pattern[at] != ':') {
      regex += pattern[at++];
      continue;
    }
    size_t end = std::min(pattern.find('/', at), pattern.size());
    names.push_back(pattern.substr(at + 1, end - at - 1));
    regex += "([^/]+)";
    at = end;
  }
  return regex;
}

// Before the body is read: nobody without a key has us read one.
std::optional<Refusal> judge(Services& services, const httplib::Request& request) {
  if (std::optional<Refusal> refused = refusal(request)) return refused;
  if (services.console != nullptr && services.console->serves(request)) return std::nullopt;
  if (needs_key(services, request)) {
    if (!authorized(services, request))
      return Refusal{401, "supplied credentials do not pass authentication"};
  } else if (request.get_header_value<uint64_t>("Content-Length") > kMostStrangersBody) {
    return Refusal{413, "the body is too large"};
  }
  return std::nullopt;
}

// SQL is the proxy's, on whatever port it is asked for. What is asked there shows a role's
// password.
bool is_for_sql(const httplib::Request& request) {
  return request.path == "/sql" || (request.path == "/v2" && request.has_header("Upgrade"));
}

Request read_request(Services& services, const httplib::Request& from,
                     const std::vector<std::string>& names) {
  Request request;
  request.address = from.remote_addr;
  request.from_console = from.has_header("X-Halogen-Console");
  request.by_https = from.get_header_value("X-Forwarded-Proto") == "https";
  if (services.console != nullptr) request.session = services.console->token(from);
  request.method = from.method;
  request.body = from.body;
  for (const auto& [name, value] : from.params) request.query[name] = value;
  for (size_t i = 0; i < names.size(); ++i) request.path[names[i]] = from.matches[i + 1];
  return request;
}

}  // namespace

Response json_response(int status, const json& body) {
  return {status, body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json"};
}

struct Server::Impl {
  BoundedServer http{kThreads};
  int port = 0;
  std::thread listener;

  void add_route(Services& services, const Route& route);
  static void answer(Services& services, const Route& route, const std::vector<std::string>& names,
                     const httplib::Request& from, httplib::Response& to);
};

Server::Server(const std::string& host, int port) : impl_(std::make_unique<Impl>()) {
  BoundedServer& http = impl_->http;
  http.set_payload_max_length(kMostBody);
  http.set_tcp_nodelay(true);
  // Without the library's SO_REUSEPORT, with which two servers could share a port unnoticed.
  http.set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  if (port == 0) {
    impl_->port = http.bind_to_any_port(host);
  } else {
    impl_->port = http.bind_to_port(host, port) ? port : -1;
  }
  if (impl_->port <= 0) throw Error(Errc::unavailable, "cannot listen on {}:{}", host, port);
}

Server::~Server() { stop(); }

int Server::port() const { return impl_->port; }

void Server::Impl::answer(Services& services, const Route& route,
                          const std::vector<std::string>& names, const httplib::Request& from,
                          httplib::Response& to) {
  try {
    Response response = route.handler(services, read_request(services, from, names));
    to.status = response.status;
    for (const auto& [name, value] : response.headers) to.set_header(name, value);
    to.set_content(response.body, response.type);
  } catch (const ApiError& error) {
    send_error(to, error.status, error.code, error.what());
  } catch (const Error& error) {
    int status = http_status(error.code());
    if (status == 500) logger.error("{} {}: {}", from.method, from.path, error.what());
    send_error(to, status, "", error.what());
  } catch (const std::exception& error) {
    logger.error("{} {}: {}", from.method, from.path, error.what());
    send_error(to, 500, "", "internal error");
  }
}

void Server::Impl::add_route(Services& services, const Route& route) {
  std::vector<std::string> names;
  std::string regex = as_regex(route.pattern, names);
  auto handler = [&services, &route, names](const httplib::Request& from, httplib::Response& to) {
    answer(services, route, names, from, to);
  };
  std::string method = route.method;
  if (method == "GET") http.Get(regex, handler);
  if (method == "POST") http.Post(regex, handler);
  if (method == "PATCH") http.Patch(regex, handler);
  if (method == "DELETE") http.Delete(regex, handler);
}

void Server::start(Services& services) {
  BoundedServer& http = impl_->http;
  if (services.sql_door != nullptr) {
    SqlDoor& door = *services.sql_door;
    http.set_tls([&door](int socket) { return door.begin_tls(socket); });
    http.set_diversion(is_for_sql, [&door](UniqueFd socket, ssl_st* tls, std::string heard) {
      door.take_in(std::move(socket), tls, std::move(heard));
    });
  }
  http.set_judge([&services](const httplib::Request& from) { return judge(services, from); });
  http.set_pre_routing_handler([&services](const httplib::Request& from, httplib::Response& to) {
    std::string id = from.get_header_value("X-Request-ID");
    to.set_header("x-neon-ret-request-id", id.empty() || id.size() > 128 ? random_uuid() : id);
    std::optional<Refusal> refused = judge(services, from);
    if (!refused && services.console != nullptr && services.console->serves(from)) {
      services.console->serve(from, to);
      return httplib::Server::HandlerResponse::Handled;
    }
    if (!refused) return httplib::Server::HandlerResponse::Unhandled;
    to.set_header("Connection", "close");
    send_error(to, refused->status, "", refused->message);
    return httplib::Server::HandlerResponse::Handled;
  });
  // What no route took, or the library refused itself.
  http.set_error_handler([](const httplib::Request&, httplib::Response& to) {
    if (!to.body.empty()) return;
    int status = to.status;
    send_error(to, status, "",
               status == 404   ? "this server has no such resource"
               : status == 413 ? "the body is too large"
                               : "bad request");
  });
  for (const Route& route : routes()) impl_->add_route(services, route);
  impl_->listener = std::thread([this] { impl_->http.serve(); });
}

void Server::stop() {
  if (!impl_->listener.joinable()) return;
  impl_->http.end();
  impl_->listener.join();
}

}  // namespace halogen::control::api
