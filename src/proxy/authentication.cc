// The session's second part: which endpoint, and is it the role it says it is.
#include "base/log.h"
#include "proxy/session.h"

namespace halogen::proxy {
namespace {

constexpr size_t kMaxPasswordMessage = 16'384;

constexpr int kMaxIterations = 100'000;  // Of a password we hash ourselves.

constexpr uint32_t kCleartextPassword = 3;
constexpr uint32_t kSasl = 10;
constexpr uint32_t kSaslContinue = 11;
constexpr uint32_t kSaslFinal = 12;

constexpr std::string_view kNoEndpoint =
    "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for "
    "SNI support or pass the endpoint ID (first part of the domain name) as a parameter: "
    "'?options=endpoint%3D<endpoint-id>'.";

std::string authentication_request(uint32_t kind, std::string_view data = {}) {
  Writer body;
  body.be_put(kind).text(data);
  std::string message;
  wire::put_message(message, 'R', body.view());
  return message;
}

}  // namespace

// A client of a newer protocol, or with options of it, is told that it is to be 3.0 without them.
Task<void> Session::negotiate_version(const startup::Packet& packet) {
  if (packet.minor == 0 && packet.protocol_options.empty()) co_return;
  Writer body;
  body.be_put(wire::kProtocol3).be_put(static_cast<uint32_t>(packet.protocol_options.size()));
  for (const std::string& name : packet.protocol_options) body.cstring(name);
  std::string message;
  wire::put_message(message, 'v', body.view());
  co_await client_.write(message);
}

std::optional<Route> Session::route_of(wire::Parameters& parameters) const {
  std::optional<Route> by_host = route_of_host(sni_of(client_.ssl()));
  std::optional<Route> by_option = take_route_of_options(parameters);
  if (by_host && by_option && by_host->endpoint != by_option->endpoint)
    throw Refused("08004",
                  fmt::format("Inconsistent endpoint: the host name says {}, the options "
                              "say {}",
                              by_host->endpoint, by_option->endpoint),
                  "Leave out endpoint= in the options, or give the same one.");
  return by_host ? by_host : by_option;
}

Task<void> Session::authenticate(startup::Packet packet) {
  user_ = packet.parameter("user");
  if (user_.empty()) throw Refused("28000", "no PostgreSQL user name specified in startup packet");
  co_await negotiate_version(packet);

  std::optional<Route> route = route_of(packet.parameters);
  parameters_ = std::move(packet.parameters);
  bool right = false;
  if (route) {
    route_ = std::move(*route);
    right = co_await scram_succeeds();
  } else {
    co_await client_.write(authentication_request(kCleartextPassword));
    std::string message = co_await receive_password_message();
    std::string_view text = Reader(message).cstring();
    std::optional<PasswordRoute> named = route_of_password(text);
    if (!named) throw Refused("08004", kNoEndpoint);
    route_ = std::move(named->route);
    right = co_await password_is_right(std::string(named->password));
  }
  if (!right) {
    shared_.metrics.auth_failures.add();
    throw Refused("28P01", fmt::format("password authentication failed for user \"{}\"", user_));
  }
}

// A made-up one for an endpoint or a role that does not exist: the client cannot tell it apart.
Task<scram::Verifier> Session::find_verifier() {
  scram::Verifier mock =
      scram::mock_verifier(shared_.secret, fmt::format("{}/{}", route_.endpoint, user_));
  if (!shared_.endpoints.exists(route_.endpoint)) co_return mock;
  auto answer = co_await answer_of<RoleSecret>(
      [this](auto done) { shared_.endpoints.role_secret(route_.endpoint, user_, std::move(done)); },
      startup_deadline_);
  if (answer && answer->value)
    co_return scram::parse_verifier(answer->value->verifier).value_or(mock);
  if (answer && answer->error && answer->error->code() == Errc::not_found) co_return mock;
  std::string_view why = answer && answer->error ? answer->error->what() : "no answer in time";
  log_end(fmt::format("cannot look up its role: {}", why));
  throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.",
                Errc::cancelled);
}

Task<bool> Session::password_is_right(const std::string& password) {
  scram::Verifier verifier = co_await find_verifier();
  if (verifier.iterations > kMaxIterations)  // The check would hold up everybody on this thread.
    throw Refused("28000", "this role's password cannot be given with an endpoint prefix",
                  "Name the endpoint by the host name or by options=endpoint%3D<endpoint-id>.");
  co_return scram::check_password(verifier, password);
}

Task<bool> Session::scram_succeeds() {
  std::string mechanisms;
  for (std::string_view name : {scram::kMechanismPlus, scram::kMechanism})
    mechanisms.append(name).push_back('\0');
  mechanisms.push_back('\0');
  co_await client_.write(authentication_request(kSasl, mechanisms));

  std::string first = co_await receive_password_message();
  Reader in(first);
  std::string_view mechanism = in.cstring();
  auto size = in.be_get<uint32_t>();
  std::string_view client_first = as_text(in.take(size));
  if (!in.empty()) throw Error(Errc::corrupt, "malformed SASL message");

  scram::Exchange exchange(co_await find_verifier(), certificate_hash(client_.ssl()));
  std::string server_first = exchange.begin(mechanism, client_first);
  co_await client_.write(authentication_request(kSaslContinue, server_first));
  std::string client_final = co_await receive_password_message();
  std::optional<std::string> server_final = exchange.finish(client_final);
  if (!server_final) co_return false;
  co_await client_.write(authentication_request(kSaslFinal, *server_final));
  co_return true;
}

Task<std::string> Session::receive_password_message() {
  char header[5];
  co_await client_.read_exactly(header);
  uint32_t length = byteswap(load<uint32_t>(header + 1));
  if (header[0] != 'p' || length < 4 || length > kMaxPasswordMessage)
    throw Error(Errc::corrupt, "expected a password response");
  std::string body(length - 4, '\0');
  co_await client_.read_exactly(body);
  co_return body;
}

}  // namespace halogen::proxy
