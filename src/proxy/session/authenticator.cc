#include "proxy/session/authenticator.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::proxy {
namespace {

constexpr size_t kMaxPasswordMessage = 16'384;

constexpr int kMaxIterations = 100'000;  // Of a password we hash ourselves.
constexpr uint16_t kNewestMinor = 2;     // Of protocol 3.

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

// Tells the limits how an attempt ended, however that is.
class CountedAttempt {
 public:
  CountedAttempt(AuthLimits& limits, AuthLimits::Attempt attempt)
      : limits_(limits), attempt_(std::move(attempt)) {}
  ~CountedAttempt() { limits_.end(attempt_, result, steady_clock::now()); }
  CountedAttempt(const CountedAttempt&) = delete;
  CountedAttempt& operator=(const CountedAttempt&) = delete;

  AuthLimits::Result result = AuthLimits::Result::unknown;

 private:
  AuthLimits& limits_;
  const AuthLimits::Attempt attempt_;
};

Refused too_many_failures(steady_clock::duration wait) {
  auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return Refused(
      "28000",
      fmt::format("too many failed attempts to authenticate: wait {} s before the next", seconds),
      "Check the password, the role and the host name of whatever connects from this "
      "address.");
}

Refused address_not_allowed(const IpAddress& address) {
  return Refused(
      "28000",
      fmt::format("This IP address {} is not allowed to connect to this endpoint.", address.str()),
      "Add it to the project's list of allowed addresses (allowed_ips in its "
      "settings). Mind that it may be an IPv4 or an IPv6 address.");
}

}  // namespace

Refused wrong_password(const std::string& user) {
  return Refused("28P01", fmt::format("password authentication failed for user \"{}\"", user));
}

// What the limits count by. Names that are no endpoint are counted with few others, so that such a
// name is not told from an endpoint by what is failed at elsewhere; invalid as a name itself.
std::string Authenticator::counted_name() const {
  const std::string& name = login_.route.endpoint;
  return is_known() ? name : fmt::format("?{}", std::hash<std::string>()(name) % 1024);
}

// As Postgres 18: the older of the client's protocol and ours is spoken. A client whose protocol is
// newer than ours, or that asks for options of it (we have none), is told.
Task<void> Authenticator::negotiate_version(const startup::Packet& packet) {
  login_.minor = std::min(packet.minor, kNewestMinor);
  if (packet.minor == login_.minor && packet.protocol_options.empty()) co_return;
  Writer body;
  body.be_put(wire::kProtocol3 + login_.minor);
  body.be_put(static_cast<uint32_t>(packet.protocol_options.size()));
  for (const std::string& name : packet.protocol_options) body.cstring(name);
  std::string message;
  wire::put_message(message, 'v', body.view());
  co_await client_.stream.write(message);
}

std::optional<Route> Authenticator::route_of(wire::Parameters& parameters) const {
  std::optional<Route> by_host =
      route_of_host(client_.tunnel ? client_.tunnel->host : sni_of(client_.stream.ssl()));
  std::optional<Route> by_option = take_route_of_options(parameters);
  if (by_host && by_option && by_host->endpoint != by_option->endpoint)
    throw Refused("08004",
                  fmt::format("Inconsistent endpoint: the host name says {}, the options "
                              "say {}",
                              by_host->endpoint, by_option->endpoint),
                  "Leave out endpoint= in the options, or give the same one.");
  std::optional<Route> route = by_host ? std::move(by_host) : std::move(by_option);
  if (route && is_branch(*route))
    if (auto endpoint = shared_.endpoints.endpoint_of_branch(route->endpoint))
      route->endpoint = std::move(*endpoint);
  return route;
}

Task<RoleSecret> Authenticator::authenticate(startup::Packet packet) {
  CHECK(client_.tunnel || client_.stream.is_private(), "invariant 1: a login in the clear");
  login_.user = packet.parameter("user");
  if (login_.user.empty())
    throw Refused("28000", "no PostgreSQL user name specified in startup packet");
  co_await negotiate_version(packet);

  std::optional<Route> route = route_of(packet.parameters);
  const std::optional<std::string> moment = take_moment_of_options(packet.parameters);
  login_.parameters = std::move(packet.parameters);
  drop_driver_options(login_.parameters);
  std::optional<std::string> password;
  if (!route || client_.tunnel) password = co_await receive_password(route);
  login_.route = std::move(*route);
  if (client_.tunnel && client_.tunnel->pooled) login_.route.pooled = true;
  if (!co_await proves_itself(std::move(password))) {
    shared_.metrics.auth_failures.add();
    throw wrong_password(login_.user);
  }
  if (moment && secret_->can_login) co_await go_back_to(*moment);
  co_return std::move(*secret_);
}

// The password is today's: who may look at the past is decided now. The role is that of then.
Task<void> Authenticator::go_back_to(const std::string& moment) {
  client_.waits_for_us = true;
  auto look = co_await client_.answer_of<std::string>(
      [&](auto done) { shared_.endpoints.look_at(login_.route.endpoint, moment, std::move(done)); },
      client_.startup_deadline);
  if (look && look->error) throw Refused("22023", look->error->what(), "", Errc::cancelled);
  if (!look) throw Refused("57P03", "the past cannot be looked at at this moment", "Try again.");
  login_.route.endpoint = std::move(*look->value);
  auto role = co_await client_.answer_of<RoleSecret>(
      [&](auto done) {
        shared_.endpoints.role_secret(login_.route.endpoint, login_.user, std::move(done));
      },
      client_.startup_deadline);
  client_.waits_for_us = false;
  if (role && role->error && role->error->code() == Errc::not_found)
    throw Refused("28000", fmt::format("role \"{}\" could not log in then", login_.user));
  if (!role || !role->value)
    throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.");
  secret_ = std::move(*role->value);
}

// The password as it is. Where nothing else named an endpoint, the password's prefix does.
Task<std::string> Authenticator::receive_password(std::optional<Route>& route) {
  co_await client_.stream.write(authentication_request(kCleartextPassword));
  std::string message = co_await receive_password_message();
  std::string_view password = Reader(message).cstring();
  if (!route) {
    std::optional<PasswordRoute> named = route_of_password(password);
    if (!named) throw Refused("08004", kNoEndpoint);
    route = std::move(named->route);
    password = named->password;
  }
  co_return std::string(password);
}

Task<bool> Authenticator::proves_itself(std::optional<std::string> password) {
  if (is_known() && !shared_.endpoints.address_allowed(login_.route.endpoint, client_.address)) {
    shared_.metrics.not_allowed.add();
    throw address_not_allowed(client_.address);
  }
  co_await client_.charge_work();  // Before a role is looked up.
  AuthLimits::Attempt attempt{client_.address, counted_name(), login_.user};
  AuthLimits::Answer answer = shared_.auth_limits.begin(attempt, steady_clock::now());
  while (answer.verdict == AuthLimits::Verdict::busy) {
    shared_.metrics.auth_slowed.add();
    co_await hold_back(answer.wait);
    answer = shared_.auth_limits.begin(attempt, steady_clock::now());
  }
  if (!answer.admitted()) {
    shared_.metrics.auth_limited.add();
    throw too_many_failures(answer.wait);
  }
  CountedAttempt counted(shared_.auth_limits, std::move(attempt));
  if (answer.wait > steady_clock::duration::zero()) {
    shared_.metrics.auth_slowed.add();
    co_await hold_back(answer.wait);
  }
  bool right = password ? co_await password_is_right(*password) : co_await scram_succeeds();
  counted.result = right ? AuthLimits::Result::right : AuthLimits::Result::wrong;
  co_return right;
}

Task<void> Authenticator::hold_back(steady_clock::duration time) {
  client_.waits_for_us = true;
  Deadline until = Deadline::after(time);
  while (!until.passed()) {
    co_await client_.wait_for_event(until);
    client_.throw_if_ended();
  }
  client_.waits_for_us = false;
}

// A made-up one for an endpoint or a role that does not exist, or a password that is good no more:
// the client cannot tell it apart.
Task<scram::Verifier> Authenticator::find_verifier() {
  scram::Verifier mock = scram::mock_verifier(
      shared_.secret, fmt::format("{}/{}", login_.route.endpoint, login_.user));
  if (!is_known()) {
    co_await hold_back(shared_.lookup_times.one_of());
    co_return mock;
  }
  client_.waits_for_us = true;
  auto since = steady_clock::now();
  auto answer = co_await client_.answer_of<RoleSecret>(
      [this](auto done) {
        shared_.endpoints.role_secret(login_.route.endpoint, login_.user, std::move(done));
      },
      client_.startup_deadline);
  client_.waits_for_us = false;
  shared_.lookup_times.took(steady_clock::now() - since);
  if (answer && answer->value) {
    if (answer->value->has_expired()) co_return mock;
    secret_ = std::move(*answer->value);
    co_return scram::parse_verifier(secret_->verifier).value_or(mock);
  }
  if (answer && answer->error && answer->error->code() == Errc::not_found) co_return mock;
  std::string_view why = answer && answer->error ? answer->error->what() : "no answer in time";
  client_.log_end(fmt::format("cannot look up its role: {}", why));
  // Nobody can prove a password to it now, so this is said before.
  if (answer && answer->error && answer->error->code() == Errc::conflict)
    throw Refused("55000", why, "", Errc::cancelled);
  throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.",
                Errc::cancelled);
}

Task<bool> Authenticator::password_is_right(const std::string& password) {
  scram::Verifier verifier = co_await find_verifier();
  if (verifier.iterations > kMaxIterations)  // The check would hold up all others.
    throw Refused("28000", "this role's password cannot be given in the clear: too many iterations",
                  "Connect with SCRAM, naming the endpoint by the host name or by "
                  "options=endpoint%3D<endpoint-id>.");
  client_.waits_for_us = true;
  auto answer = co_await client_.answer_of<bool>(
      [&](auto done) {
        shared_.password_checks.check(counted_name(), verifier, password, std::move(done));
      },
      client_.startup_deadline);
  client_.waits_for_us = false;
  if (answer && answer->value) co_return *answer->value;
  throw Refused("53300", "too many passwords are being checked at this moment",
                "Try again shortly, or connect with SCRAM: that costs less.");
}

Task<bool> Authenticator::scram_succeeds() {
  std::string mechanisms;
  for (std::string_view name : {scram::kMechanismPlus, scram::kMechanism})
    if (client_.stream.encrypted() || name == scram::kMechanism)
      mechanisms.append(name).push_back('\0');
  mechanisms.push_back('\0');
  co_await client_.stream.write(authentication_request(kSasl, mechanisms));

  std::string first = co_await receive_password_message();
  auto [mechanism, client_first] = scram::parse_initial_response(first);
  scram::Exchange exchange(co_await find_verifier(), certificate_hash(client_.stream.ssl()));
  std::string server_first = exchange.begin(mechanism, client_first);
  co_await client_.stream.write(authentication_request(kSaslContinue, server_first));
  std::string client_final = co_await receive_password_message();
  std::optional<std::string> server_final = exchange.finish(client_final);
  if (!server_final) co_return false;
  co_await client_.stream.write(authentication_request(kSaslFinal, *server_final));
  co_return true;
}

Task<std::string> Authenticator::receive_password_message() {
  char header[5];
  co_await client_.stream.read_exactly(header);
  uint32_t length = byteswap(load<uint32_t>(header + 1));
  if (header[0] != 'p' || length < 4 || length > kMaxPasswordMessage)
    throw Error(Errc::corrupt, "expected a password response");
  std::string body(length - 4, '\0');
  co_await client_.stream.read_exactly(body);
  co_return body;
}

}  // namespace halogen::proxy
