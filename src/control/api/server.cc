#include "control/api/server.h"

#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/ids.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "base/metrics.h"
#include "control/api/bounded_server.h"
#include "control/api/console.h"
#include "control/api/description/description.h"
#include "control/api/rate_limit.h"
#include "control/api/router.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

const log::Logger logger("api");

constexpr size_t kThreads = 32;  // Of requests that are being answered.
constexpr size_t kMostStrangersBody = 4 << 10;
constexpr double kBurstSeconds = 2;

// By "not available" Neon's clients know that it is a service that is missing, and go on.
constexpr const char* kNoSuchResource =
    "this server has no such resource: it is not available here";

// A key has made too many requests.
struct RateLimited : std::runtime_error {
  explicit RateLimited(std::chrono::seconds until_next)
      : std::runtime_error("too many requests by this API key"), wait(until_next) {}
  std::chrono::seconds wait;
};

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

// SQL is the proxy's, on whatever port it is asked for. What is asked there shows a role's
// password.
bool is_for_sql(const httplib::Request& request) {
  return request.path == "/sql" || (request.path == "/v2" && request.has_header("Upgrade"));
}

std::optional<std::string> bearer_of(const httplib::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string header = request.get_header_value("Authorization");
  if (header.size() <= kScheme.size() || header.compare(0, kScheme.size(), kScheme) != 0)
    return std::nullopt;
  return header.substr(kScheme.size());
}

// By its key, or by the console's session.
std::optional<Principal> principal_of(Services& services, const httplib::Request& request) {
  if (!request.has_header("Authorization") && services.console != nullptr) {
    auto key = services.console->sessions().key_of(services.console->token(request));
    if (!key) return std::nullopt;
    if (!key->empty()) return services.accounts.principal_of_hash(*key);
    return Principal{.user_id = services.accounts.operator_user().id};
  }
  const std::optional<std::string> secret = bearer_of(request);
  return secret ? services.accounts.principal_of(*secret) : std::nullopt;
}

Request read_request(Services& services, const httplib::Request& from, const Match& match) {
  Request request;
  request.address = from.remote_addr;
  request.from_console = from.has_header("X-Halogen-Console");
  request.by_https = from.get_header_value("X-Forwarded-Proto") == "https";
  if (services.console != nullptr) request.session = services.console->token(from);
  request.method = from.method;
  request.body = from.body;
  // Given more than once, it is a list, which other clients write with commas.
  for (const auto& [name, value] : from.params) {
    std::string& text = request.query[name];
    text += (text.empty() ? "" : ",") + value;
  }
  request.path = match.path;
  return request;
}

bool needs_key(const Services& services, const Route* route) {
  if (route == nullptr) return true;
  if (route->key == Route::Key::needed_unless_open_metrics) return !services.open_metrics;
  return route->key == Route::Key::needed;
}

Object object_of(Services& services, const Route& route, const Request& request) {
  Object object{.kind = route.object};
  if (object.kind == Object::Kind::organization) object.org_id = request.at("org_id");
  if (object.kind == Object::Kind::projects) object.org_id = request.query_or("org_id", "");
  if (object.kind == Object::Kind::project) {
    object.project_id = request.at("project_id");
    // A project's key knows only one; others need not be looked for.
    const KeyKind kind = request.principal.kind;
    if (kind == KeyKind::organization || kind == KeyKind::member)
      object.org_id = services.catalog.project(object.project_id).org_id;
  }
  return object;
}

}  // namespace

Response json_response(int status, const json& body) {
  return {status, body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json"};
}

struct Server::Impl {
  explicit Impl() : router(routes()) {}

  BoundedServer http{kThreads};
  int port = 0;
  std::thread listener;
  const Router router;
  std::unique_ptr<RateLimit> rate_limit;

  // Before the body is read: nobody without a key has us read one.
  std::optional<Refusal> judge(Services& services, const httplib::Request& request);
  // Whether it has been answered: it was refused, or asked for the console's page.
  bool answer_early(Services& services, const httplib::Request& from, httplib::Response& to);
  void answer(Services& services, const httplib::Request& from, httplib::Response& to);
  // Fills in what of the request is known, also when it throws.
  Response handle(Services& services, const httplib::Request& from, const Match& match,
                  Request& request);
};

std::optional<Refusal> Server::Impl::judge(Services& services, const httplib::Request& request) {
  if (std::optional<Refusal> refused = refusal(request)) return refused;
  if (services.console != nullptr && services.console->serves(request)) return std::nullopt;
  const Match match = router.find(request.method, request.target);
  if (needs_key(services, match.route)) {
    if (!principal_of(services, request))
      return Refusal{401, "supplied credentials do not pass authentication"};
  } else if (request.get_header_value<uint64_t>("Content-Length") > kMostStrangersBody) {
    return Refusal{413, "the body is too large"};
  }
  return std::nullopt;
}

Server::Server(const std::string& host, int port, UniqueFd listener)
    : impl_(std::make_unique<Impl>()) {
  BoundedServer& http = impl_->http;
  http.set_payload_max_length(kMostBody);
  http.set_tcp_nodelay(true);
  // Without the library's SO_REUSEPORT, with which two servers could share a port unnoticed.
  http.set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  if (listener.valid()) {
    http.take_listener(std::move(listener));
    impl_->port = port;
  } else if (port == 0) {
    impl_->port = http.bind_to_any_port(host);
  } else {
    impl_->port = http.bind_to_port(host, port) ? port : -1;
  }
  if (impl_->port <= 0) throw Error(Errc::unavailable, "cannot listen on {}:{}", host, port);
}

Server::~Server() { stop(); }

int Server::port() const { return impl_->port; }

bool Server::Impl::answer_early(Services& services, const httplib::Request& from,
                                httplib::Response& to) {
  std::string id = from.get_header_value("X-Request-ID");
  to.set_header("x-neon-ret-request-id", id.empty() || id.size() > 128 ? random_uuid() : id);
  std::optional<Refusal> refused = judge(services, from);
  if (!refused && services.console != nullptr && services.console->serves(from)) {
    services.console->serve(from, to);
    return true;
  }
  if (!refused) return false;
  to.set_header("Connection", "close");
  send_error(to, refused->status, "", refused->message);
  return true;
}

Response Server::Impl::handle(Services& services, const httplib::Request& from, const Match& match,
                              Request& request) {
  if (match.route == nullptr) throw ApiError(404, "", kNoSuchResource);
  const Route& route = *match.route;
  if (!needs_key(services, &route)) return route.handler(services, request);
  std::optional<Principal> principal = principal_of(services, from);
  if (!principal) throw ApiError(401, "", "supplied credentials do not pass authentication");
  request.principal = *principal;
  if (auto wait = rate_limit->refuse(principal->key_id, steady_clock::now()))
    throw RateLimited(*wait);
  if (principal->key_id != 0) services.accounts.note_use(principal->key_id, request.address);
  authorize(request.principal, object_of(services, route, request), route.verb);
  check_request(request.method, route.pattern, request.query,
                [&] { return request.body.empty() ? json() : request.body_json(); });
  return route.handler(services, request);
}

void Server::Impl::answer(Services& services, const httplib::Request& from, httplib::Response& to) {
  log::Trace trace(to.get_header_value("x-neon-ret-request-id"));
  Match match = router.find(from.method, from.target);
  Request request = read_request(services, from, match);
  try {
    Response response = handle(services, from, match, request);
    to.status = response.status;
    for (const auto& [name, value] : response.headers) to.set_header(name, value);
    if (response.status != 204) to.set_content(response.body, response.type);
  } catch (const RateLimited& error) {
    to.set_header("Retry-After", std::to_string(error.wait.count()));
    send_error(to, 429, "", error.what());
  } catch (const ProjectBusy& error) {
    send_error(to, 423, "", error.what());
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
  if (services.audit_log != nullptr && match.route != nullptr &&
      is_audited(from.method, match.route->pattern))
    services.audit_log->note(from.method, from.path, request,
                             to.get_header_value("x-neon-ret-request-id"), to.status);
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
  impl_->rate_limit = std::make_unique<RateLimit>(services.requests_per_second,
                                                  services.requests_per_second * kBurstSeconds);
  http.set_judge(
      [this, &services](const httplib::Request& from) { return impl_->judge(services, from); });
  http.set_pre_routing_handler([this, &services](const httplib::Request& from,
                                                 httplib::Response& to) {
    return impl_->answer_early(services, from, to) ? httplib::Server::HandlerResponse::Handled
                                                   : httplib::Server::HandlerResponse::Unhandled;
  });
  // What no route took, or the library refused itself.
  http.set_error_handler([](const httplib::Request&, httplib::Response& to) {
    if (!to.body.empty()) return;
    int status = to.status;
    send_error(to, status, "",
               status == 404   ? kNoSuchResource
               : status == 413 ? "the body is too large"
                               : "bad request");
  });
  auto handler = [this, &services](const httplib::Request& from, httplib::Response& to) {
    impl_->answer(services, from, to);
  };
  http.Get(".*", handler);
  http.Post(".*", handler);
  http.Put(".*", handler);
  http.Patch(".*", handler);
  http.Delete(".*", handler);
  impl_->listener = std::thread([this] { impl_->http.serve(); });
}

void Server::stop() {
  if (!impl_->listener.joinable()) return;
  impl_->http.end();
  impl_->listener.join();
}

}  // namespace halogen::control::api
