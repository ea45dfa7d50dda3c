// Everything a client can say before it is authenticated: startup packets and what is in them, SNI
// names, password prefixes, SCRAM messages, verifiers. Nothing may crash; what is parsed keeps its
// promises.
#include "base/error.h"
#include "postgres/scram.h"
#include "postgres/startup.h"
#include "proxy/auth/route.h"
#include "proxy/conversation/message_tracker.h"
#include "proxy/conversation/session_state.h"

namespace {

using namespace halogen;

void packet(std::string_view text) {
  try {
    startup::Packet parsed = startup::parse(as_bytes(text));
    CHECK(parsed.parameter("user").size() <= 63);
    (void)proxy::take_route_of_options(parsed.parameters);
    (void)proxy::take_moment_of_options(parsed.parameters);
    for (const auto& [name, value] : parsed.parameters) CHECK(!name.empty());
    // What is passed on must be read by Postgres as we have read it.
    std::string again = wire::startup_packet(parsed.parameters);
    if (parsed.kind == startup::Kind::start)
      CHECK(startup::parse(as_bytes(again).subspan(4)).parameters == parsed.parameters);
  } catch (const Error&) {
  }
}

void options(std::string_view text) {
  std::vector<std::string> words = startup::split_options(text);
  std::erase(words, "");  // A lone backslash makes an empty word, which cannot be written.
  CHECK(startup::split_options(startup::join_options(words)) == words);
  try {
    for (const auto& [name, value] : startup::option_settings(words)) (void)value;
  } catch (const Error& error) {
    CHECK(error.code() == Errc::invalid_argument);
  }
}

void scram_messages(std::string_view text) {
  size_t middle = text.size() / 2;
  try {
    bool plus = !text.empty() && text[0] % 2 == 0;
    scram::Exchange exchange(scram::Verifier{}, plus ? "hash" : "", "server");
    exchange.begin(plus ? scram::kMechanismPlus : scram::kMechanism, text.substr(0, middle));
    (void)exchange.finish(text.substr(middle));
  } catch (const Error&) {
  }
  try {
    auto [mechanism, client_first] = scram::parse_initial_response(text);
    CHECK(mechanism.size() + 1 + sizeof(uint32_t) + client_first.size() == text.size());
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt);
  }
  if (auto verifier = scram::parse_verifier(text))
    CHECK(scram::parse_verifier(verifier->str())->str() == verifier->str());
  if (auto bytes = scram::base64_decode(text))
    CHECK(scram::base64_decode(scram::base64_encode(*bytes)) == bytes);
}

// What a compute reports of its session: the compute is as hostile as its owner.
void report(std::string_view text) {
  try {
    proxy::StatePtr state = proxy::parse_session_state(text);
    CHECK(state->pins.size() + state->listen.size() <= text.size() + 1);
  } catch (const Error& error) {
    CHECK(error.code() == Errc::corrupt);
  }
}

void boundaries(std::string_view text) {
  proxy::MessageTracker whole;
  proxy::MessageTracker pieces;
  whole.feed(text);
  for (char c : text) pieces.feed({&c, 1});
  CHECK(whole.at_boundary() == pieces.at_boundary() && whole.last_type() == pieces.last_type());
  CHECK(whole.transaction_status() == pieces.transaction_status());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  packet(text);
  options(text);
  scram_messages(text);
  boundaries(text);
  report(text);
  if (auto route = proxy::route_of_host(text)) CHECK(route->endpoint.starts_with("ep-"));
  if (auto route = proxy::route_of_password(text)) CHECK(!route->route.endpoint.empty());
  return 0;
}
