#include "control/api/server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "base/metrics.h"
#include "control/api/shapes.h"
#include "control/names.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

const log::Logger logger("api");

constexpr size_t kThreads = 32;  // A connection kept alive holds one.
constexpr size_t kMaxBody = 1 << 20;

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

bool needs_key(const Services& services, const Route& route) {
  if (route.key == Route::Key::needed_unless_open_metrics) return !services.open_metrics;
  return route.key == Route::Key::needed;
}

bool authorized(Services& services, const httplib::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string header = request.get_header_value("Authorization");
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

Request read_request(const httplib::Request& from, const std::vector<std::string>& names) {
  Request request;
  request.method = from.method;
  request.body = from.body;
  for (const auto& [name, value] : from.params) request.query[name] = value;
  for (size_t i = 0; i < names.size(); ++i) request.path[names[i]] = from.matches[i + 1];
  return request;
}

}  // namespace

std::string Request::query_or(const std::string& name, const std::string& otherwise) const {
  auto found = query.find(name);
  return found == query.end() || found->second.empty() ? otherwise : found->second;
}

int64_t Request::query_number(const std::string& name, int64_t otherwise, int64_t least,
                              int64_t most) const {
  std::string text = query_or(name, "");
  if (text.empty()) return otherwise;
  char* end = nullptr;
  int64_t number = std::strtoll(text.c_str(), &end, 10);
  if (*end != 0 || number < least || number > most)
    throw Error(Errc::invalid_argument, "{} must be a number from {} to {}", name, least, most);
  return number;
}

json Request::body_json() const {
  if (body.empty()) return json::object();
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) throw Error(Errc::invalid_argument, "the body is not a JSON object");
  return parsed;
}

Response json_response(int status, const json& body) {
  return {status, body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json"};
}

struct Server::Impl {
  httplib::Server http;
  int port = 0;
  std::thread listener;

  void add_route(Services& services, const Route& route);
  static void answer(Services& services, const Route& route, const std::vector<std::string>& names,
                     const httplib::Request& from, httplib::Response& to);
};

Server::Server(const std::string& host, int port) : impl_(std::make_unique<Impl>()) {
  httplib::Server& http = impl_->http;
  http.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  http.set_payload_max_length(kMaxBody);
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
    if (needs_key(services, route) && !authorized(services, from))
      return send_error(to, 401, "", "supplied credentials do not pass authentication");
    Response response = route.handler(services, read_request(from, names));
    to.status = response.status;
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
  httplib::Server& http = impl_->http;
  http.set_pre_routing_handler([](const httplib::Request& from, httplib::Response& to) {
    std::string id = from.get_header_value("X-Request-ID");
    to.set_header("x-neon-ret-request-id", id.empty() || id.size() > 128 ? new_uuid() : id);
    return httplib::Server::HandlerResponse::Unhandled;
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
  impl_->listener = std::thread([this] { impl_->http.listen_after_bind(); });
}

void Server::stop() {
  if (!impl_->listener.joinable()) return;
  while (!impl_->http.is_running()) std::this_thread::yield();  // stop() before that is lost.
  impl_->http.stop();
  impl_->listener.join();
}

}  // namespace halogen::control::api
