#include "postgres/startup.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::startup {
namespace {

constexpr size_t kMaxNameSize = 63;  // NAMEDATALEN - 1.
constexpr size_t kMinStartupSize = 8;
constexpr size_t kMinCancelKey = 4;
constexpr size_t kMaxCancelKey = 256;

// isspace() of the C locale, which Postgres uses here.
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

void set_parameter(wire::Parameters& parameters, std::string_view name, std::string_view value) {
  if ((name == "user" || name == "database") && value.size() > kMaxNameSize)
    value = value.substr(0, kMaxNameSize);
  auto found = std::find_if(parameters.begin(), parameters.end(),
                            [&](const auto& parameter) { return parameter.first == name; });
  if (found == parameters.end())
    parameters.emplace_back(name, value);
  else
    found->second = value;
}

void parse_parameters(Reader& in, Packet& packet) {
  while (true) {
    std::string_view name = in.cstring();
    if (name.empty()) break;
    std::string_view value = in.cstring();
    if (name.starts_with("_pq_."))
      packet.protocol_options.emplace_back(name);
    else
      set_parameter(packet.parameters, name, value);
  }
  if (!in.empty())
    throw Error(Errc::corrupt, "invalid startup packet layout: expected terminator as last byte");
}

void add_setting(wire::Parameters& settings, std::string_view assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) return;
  std::string name(assignment.substr(0, equals));
  std::replace(name.begin(), name.end(), '-', '_');
  settings.emplace_back(std::move(name), assignment.substr(equals + 1));
}

}  // namespace

std::string_view Packet::parameter(std::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return {};
}

size_t body_size(uint32_t length_word) {
  if (length_word < kMinStartupSize || length_word > wire::kMaxStartupSize + 4)
    throw Error(Errc::corrupt, "invalid length of startup packet");
  return length_word - 4;
}

Packet parse(Bytes body) {
  Reader in(body);
  auto code = in.be_get<uint32_t>();
  Packet packet;
  if (code == wire::kSslRequest || code == wire::kGssRequest) {
    packet.kind = code == wire::kSslRequest ? Kind::ssl_request : Kind::gss_request;
    if (!in.empty()) throw Error(Errc::corrupt, "encryption request with bytes behind its end");
    return packet;
  }
  if (code == wire::kCancelRequest) {
    packet.kind = Kind::cancel_request;
    packet.cancel_pid = in.be_get<uint32_t>();
    packet.cancel_key = as_text(in.rest());
    if (packet.cancel_key.size() < kMinCancelKey || packet.cancel_key.size() > kMaxCancelKey)
      throw Error(Errc::corrupt, "invalid length of cancel request packet");
    return packet;
  }
  packet.major = static_cast<uint16_t>(code >> 16);
  packet.minor = static_cast<uint16_t>(code & 0xffff);
  if (packet.major != 3) return packet;
  packet.kind = Kind::start;
  parse_parameters(in, packet);
  return packet;
}

std::vector<std::string> split_options(std::string_view options) {
  std::vector<std::string> words;
  size_t at = 0;
  while (true) {
    while (at < options.size() && is_space(options[at])) at++;
    if (at == options.size()) return words;
    std::string& word = words.emplace_back();
    bool escaped = false;
    for (; at < options.size(); at++) {
      char c = options[at];
      if (is_space(c) && !escaped) break;
      if (c == '\\' && !escaped) {
        escaped = true;
      } else {
        escaped = false;
        word.push_back(c);
      }
    }
  }
}

std::string join_options(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined.push_back(' ');
    for (char c : word) {
      if (is_space(c) || c == '\\') joined.push_back('\\');
      joined.push_back(c);
    }
  }
  return joined;
}

wire::Parameters option_settings(const std::vector<std::string>& words) {
  wire::Parameters settings;
  for (size_t i = 0; i < words.size(); i++) {
    std::string_view word = words[i];
    if (word == "-c" || word == "--") {
      if (word == "-c" && i + 1 < words.size()) add_setting(settings, words[++i]);
    } else if (word.starts_with("-c") || word.starts_with("--")) {
      add_setting(settings, word.substr(2));
    }
  }
  return settings;
}

}  // namespace halogen::startup
