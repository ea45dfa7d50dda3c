// The session's second part: which endpoint, and is it the role it says it is.
#include <algorithm>

#include "base/log.h"
#include "proxy/session/session.h"

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

// What a name that is no endpoint counts as: with few others, so that it is not told from an
// endpoint by what is failed at elsewhere. Invalid as a name itself.
std::string unknown_name(const std::string& name) {
  return fmt::format("?{}", std::hash<std::string>()(name) % 1024);
}

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

// As Postgres 18: the older of the client's protocol and ours is spoken. A client whose protocol is
// newer than ours, or that asks for options of it (we have none), is told.
Task<void> Session::negotiate_version(const startup::Packet& packet) {
  minor_ = std::min(packet.minor, kNewestMinor);
  if (packet.minor == minor_ && packet.protocol_options.empty()) co_return;
  Writer body;
  body.be_put(wire::kProtocol3 + minor_);
  body.be_put(static_cast<uint32_t>(packet.protocol_options.size()));
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
    right = co_await proves_itself(std::nullopt);
  } else {
    co_await client_.write(authentication_request(kCleartextPassword));
    std::string message = co_await receive_password_message();
    std::string_view text = Reader(message).cstring();
    std::optional<PasswordRoute> named = route_of_password(text);
    if (!named) throw Refused("08004", kNoEndpoint);
    route_ = std::move(named->route);
    right = co_await proves_itself(std::string(named->password));
  }
  if (!right) {
    shared_.metrics.auth_failures.add();
    throw wrong_password();
  }
  note_rights(*secret_);
  secret_.reset();
}

Task<bool> Session::proves_itself(std::optional<std::string> password) {
  bool known = shared_.endpoints.exists(route_.endpoint);
  if (known && !shared_.endpoints.address_allowed(route_.endpoint, address_)) {
    shared_.metrics.not_allowed.add();
    throw address_not_allowed(address_);
  }
  co_await charge_work();  // Before a role is looked up.
  AuthLimits::Attempt attempt{address_, known ? route_.endpoint : unknown_name(route_.endpoint),
                              user_};
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

Task<void> Session::hold_back(steady_clock::duration time) {
  looking_up_ = true;
  Deadline until = Deadline::after(time);
  while (!until.passed()) {
    co_await wait_for_event(until);
    if (timed_out_ || must_end()) throw Error(Errc::cancelled, "cancelled");
  }
  looking_up_ = false;
}

// A made-up one for an endpoint or a role that does not exist, or a password that is good no more:
// the client cannot tell it apart.
Task<scram::Verifier> Session::find_verifier() {
  scram::Verifier mock =
      scram::mock_verifier(shared_.secret, fmt::format("{}/{}", route_.endpoint, user_));
  if (!shared_.endpoints.exists(route_.endpoint)) {
    co_await hold_back(shared_.lookup_times.one_of());
    co_return mock;
  }
  looking_up_ = true;
  auto since = steady_clock::now();
  auto answer = co_await answer_of<RoleSecret>(
      [this](auto done) { shared_.endpoints.role_secret(route_.endpoint, user_, std::move(done)); },
      startup_deadline_);
  looking_up_ = false;
  shared_.lookup_times.took(steady_clock::now() - since);
  if (answer && answer->value) {
    if (answer->value->has_expired()) co_return mock;
    secret_ = std::make_unique<RoleSecret>(std::move(*answer->value));
    co_return scram::parse_verifier(secret_->verifier).value_or(mock);
  }
  if (answer && answer->error && answer->error->code() == Errc::not_found) co_return mock;
  std::string_view why = answer && answer->error ? answer->error->what() : "no answer in time";
  log_end(fmt::format("cannot look up its role: {}", why));
  throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.",
                Errc::cancelled);
}

Task<bool> Session::password_is_right(const std::string& password) {
  scram::Verifier verifier = co_await find_verifier();
  if (verifier.iterations > kMaxIterations)  // The check would hold up all others.
    throw Refused("28000", "this role's password cannot be given with an endpoint prefix",
                  "Name the endpoint by the host name or by options=endpoint%3D<endpoint-id>.");
  bool known = shared_.endpoints.exists(route_.endpoint);
  std::string turn = known ? route_.endpoint : unknown_name(route_.endpoint);
  looking_up_ = true;
  auto answer = co_await answer_of<bool>(
      [&](auto done) { shared_.password_checks.check(turn, verifier, password, std::move(done)); },
      startup_deadline_);
  looking_up_ = false;
  if (answer && answer->value) co_return *answer->value;
  throw Refused("53300", "too many passwords are being checked at this moment",
                "Try again shortly, or name the endpoint by the host name: that costs less.");
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
