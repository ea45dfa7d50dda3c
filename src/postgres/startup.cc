#include "postgres/startup.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

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

// A switch that stands for a setting, by its letter.
struct Switch {
  char letter;
  std::string_view setting;  // "": for a server of its own only, and of no effect here.
  std::string_view value;    // "": the switch's argument.
};
constexpr Switch kSwitches[] = {
    {'B', "shared_buffers", ""},
    {'C', "", ""},
    {'D', "", ""},
    {'E', "", "-"},
    {'F', "fsync", "false"},
    {'N', "max_connections", ""},
    {'O', "allow_system_table_mods", "true"},
    {'P', "ignore_system_indexes", "true"},
    {'S', "work_mem", ""},
    {'T', "", "-"},
    {'W', "post_auth_delay", ""},
    {'b', "", "-"},
    {'e', "datestyle", "euro"},
    {'h', "listen_addresses", ""},
    {'i', "listen_addresses", "*"},
    {'j', "", "-"},
    {'k', "unix_socket_directories", ""},
    {'l', "ssl", "true"},
    {'n', "", "-"},
    {'p', "port", ""},
    {'r', "", ""},
    {'s', "log_statement_stats", "true"},
    {'v', "", ""},
};
// What -f turns off, and what -t turns on.
constexpr std::pair<std::string_view, std::string_view> kPlans[] = {
    {"s", "enable_seqscan"},    {"i", "enable_indexscan"}, {"o", "enable_indexonlyscan"},
    {"b", "enable_bitmapscan"}, {"t", "enable_tidscan"},   {"n", "enable_nestloop"},
    {"m", "enable_mergejoin"},  {"h", "enable_hashjoin"}};
constexpr std::pair<std::string_view, std::string_view> kStatistics[] = {
    {"pa", "log_parser_stats"}, {"pl", "log_planner_stats"}, {"e", "log_executor_stats"}};

// getopt(3), over the words of a client's `options`.
class Switches {
 public:
  explicit Switches(const std::vector<std::string>& words) : words_(words) {}

  wire::Parameters settings() {
    std::optional<std::string_view> rubbish;  // Refused once all switches have been looked at.
    while (at_ < words_.size()) {
      std::string_view word = words_[at_++];
      if (word == "--") break;
      if (word.size() < 2 || word[0] != '-') {
        if (!rubbish) rubbish = word;
        continue;
      }
      rest_ = word.substr(1);
      while (!rest_.empty()) take(rest_[0]);
    }
    if (rubbish) refuse(*rubbish);
    if (at_ < words_.size()) refuse(words_[at_]);
    return std::move(settings_);
  }

 private:
  [[noreturn]] static void refuse(std::string_view word) {
    throw Error(Errc::invalid_argument, "invalid command-line argument for server process: {}",
                word);
  }

  void take(char letter) {
    rest_.remove_prefix(1);
    if (letter == 'c' || letter == '-') return assign(letter, argument());
    if (letter == 'f') return put(kPlans, argument(), "false");
    if (letter == 't') return put(kStatistics, argument(), "true");
    if (letter == 'd') return set("log_min_messages", "debug" + std::string(argument()));
    auto found = std::find_if(std::begin(kSwitches), std::end(kSwitches),
                              [&](const Switch& one) { return one.letter == letter; });
    if (found == std::end(kSwitches)) refuse(words_[at_ - 1]);
    std::string_view value = found->value.empty() ? argument() : found->value;
    if (!found->setting.empty()) set(found->setting, value);
  }

  // The rest of the word, or else the next one.
  std::string_view argument() {
    if (!rest_.empty()) return std::exchange(rest_, {});
    if (at_ == words_.size()) refuse(words_[at_ - 1]);
    return words_[at_++];
  }

  void assign(char letter, std::string_view assignment) {
    size_t equals = assignment.find('=');
    if (equals == std::string_view::npos)
      throw Error(Errc::invalid_argument, "{}{} requires a value", letter == 'c' ? "-c " : "--",
                  assignment);
    std::string name(assignment.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    set(name, assignment.substr(equals + 1));
  }

  void put(std::span<const std::pair<std::string_view, std::string_view>> table,
           std::string_view argument, std::string_view value) {
    for (const auto& [name, setting] : table)
      if (name == argument.substr(0, name.size())) return set(setting, value);
    refuse(words_[at_ - 1]);
  }

  void set(std::string_view name, std::string_view value) { settings_.emplace_back(name, value); }

  const std::vector<std::string>& words_;
  size_t at_ = 0;
  std::string_view rest_;  // Of a word: letters may stand together.
  wire::Parameters settings_;
};

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
  return Switches(words).settings();
}

}  // namespace halogen::startup
