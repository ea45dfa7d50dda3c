#include "proxy/pool/server.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "net/socket.h"
#include "protocol/login_secret.h"
#include "protocol/session_state.h"
#include "proxy/io/refused.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr size_t kMaxGreetingMessage = 1 << 20;
constexpr std::string_view kCannotConnectNow = "57P03";

ServerLogin parse_login(std::string_view value) {
  ServerLogin login;
  std::istringstream in{std::string(value)};
  in >> login.epoch >> login.role >> login.database >> login.role_limit >> login.database_limit;
  if (in.fail()) throw Error(Errc::corrupt, "the compute told of a login \"{}\"", value);
  return login;
}

// Takes one message of the greeting; true when it was the last.
bool take_greeting(const wire::Message& message, const std::string& path, Opened& out) {
  Server& server = *out.server;
  switch (message.type) {
    case 'R':
      if (wire::parse_authentication(message.body) != wire::kAuthenticationOk)
        throw Error(Errc::internal, "the compute asks the proxy for a password");
      return false;
    case 'S': {
      auto [name, value] = wire::parse_parameter_status(message.body);
      if (name == kSessionStateParameter) {
        server.state.state = parse_session_state(value);
        return false;
      }
      if (name == kLoginParameter) {
        server.login = parse_login(value);
        return false;
      }
      if (name == kDefaultsParameter) {
        server.state.startup = server.login.defaults = default_items(value);
        return false;
      }
      auto reported = std::make_shared<Reported>(*server.state.reported);
      (*reported)[std::string(name)] = value;
      server.state.reported = std::move(reported);
      return false;
    }
    case 'K': {
      Reader body(message.body);
      auto pid = body.be_get<uint32_t>();
      server.cancel_target =
          std::make_shared<CancelTarget>(CancelTarget{path, {pid, body.be_get<uint32_t>()}});
      return false;
    }
    case 'E':
      out.refused = wire::parse_error(message.body);
      return true;
    default:
      return message.type == 'Z';
  }
}

// A session that reports takes statements of ours, with a pass.
std::string startup_packet(wire::Parameters parameters, const std::string& login_secret,
                           const Passes& passes) {
  auto named = [&](std::string_view name) {
    return std::ranges::find(parameters, name, &wire::Parameters::value_type::first);
  };
  if (named(kReportSessionSetting) != parameters.end())
    parameters.emplace_back(kSessionSecretSetting, passes.secret());
  auto options = named("options");
  if (options == parameters.end()) options = parameters.insert(options, {"options", ""});
  options->second = with_login_secret(login_secret, options->second);
  if (options->second.empty()) parameters.erase(options);
  return wire::startup_packet(parameters);
}

Task<void> greet(const std::string& path, Opened& out) {
  Server& server = *out.server;
  std::string in;
  bool done = false;
  while (!done) {
    char piece[2048];
    size_t size = co_await server.stream.read_some(piece);
    if (size == 0) throw Error(Errc::unavailable, "the compute closed the connection");
    in.append(piece, size);
    size_t used = 0;
    while (!done) {
      auto message = wire::parse_message(as_bytes(in).subspan(used), kMaxGreetingMessage);
      if (!message) break;
      used += message->size;
      done = take_greeting(*message, path, out);
    }
    in.erase(0, used);
  }
  server.unread = std::move(in);
}

}  // namespace

void Server::move_to(Worker& another) {
  if (worker == &another) return;
  stream.move_to(another.loop);
  worker = &another;
}

Task<Opened> open_server(Worker& worker, const ComputeAddress& address,
                         const wire::Parameters& parameters, Deadline deadline) {
  Opened out;
  std::string path = net::postgres_socket_path(address.socket_folder, address.port);
  UniqueFd socket = net::try_connect_unix(path);
  if (!socket.valid()) {
    if (errno == EMFILE || errno == ENFILE) throw no_descriptors();
    logger.info("no compute at {}: {}", path, std::strerror(errno));
    co_return out;
  }
  out.server = std::make_shared<Server>(worker, std::move(socket));
  out.server->start = address.start;
  try {
    Timer alarm(worker.loop);
    alarm.set(deadline.at(), [server = out.server.get()] { server->stream.cancel(); });
    co_await out.server->stream.write(
        startup_packet(parameters, address.login_secret, out.server->state.passes));
    co_await greet(path, out);
  } catch (const Error& gone) {
    if (gone.code() != Errc::unavailable && gone.code() != Errc::cancelled) throw;
    logger.info("the compute at {} went away during startup: {}", path, gone.what());
    out.server.reset();
  }
  if (out.refused) {
    out.server.reset();
    if (out.refused->sqlstate == kCannotConnectNow) out.refused.reset();
  }
  co_return out;
}

}  // namespace halogen::proxy
