#include "proxy/conversation/session_state.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "protocol/parse_settings.h"
#include "protocol/session_state.h"

namespace halogen::proxy {
namespace {

using nlohmann::json;

// The length of the UTF-8 sequence that begins here and its code point; 0 if it is none.
size_t decode_utf8(std::string_view text, uint32_t& code) {
  auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = at(0);
  size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (size == 0 || size > text.size() || first > 0xf4) return 0;
  code = size == 1 ? first : first & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; i++) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (at(i) & 0x3f);
  }
  bool surrogate = code >= 0xd800 && code < 0xe000;
  bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  return surrogate || overlong || code > 0x10ffff ? 0 : size;
}

// A string constant that reads the same whatever client_encoding and standard_conforming_strings
// are on the connection that is to be changed.
void put_item(std::string& out, std::string_view text) {
  out += ",E'";
  while (!text.empty()) {
    uint32_t code = 0;
    size_t size = decode_utf8(text, code);
    if (size == 0) throw Error(Errc::corrupt, "not valid UTF-8: a value of the session's state");
    if (code == '\'' || code == '\\')
      out.append(2, text[0]);
    else if (size == 1)
      out.push_back(text[0]);
    else if (code < 0x10000)
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
    else
      fmt::format_to(std::back_inserter(out), "\\U{:08x}", code);
    text.remove_prefix(size);
  }
  out.push_back('\'');
}

void put_items(std::string& out, std::initializer_list<std::string_view> items) {
  for (std::string_view item : items) put_item(out, item);
}

// '*' at either end stands for anything; "*.*" for every name with a dot in it.
bool matches(std::string_view pattern, std::string_view name) {
  if (pattern == "*.*") return name.find('.') != std::string_view::npos;
  bool before = pattern.starts_with('*');
  bool behind = pattern.ends_with('*');
  if (before) pattern.remove_prefix(1);
  if (behind) pattern.remove_suffix(1);
  if (before && behind) return name.find(pattern) != std::string_view::npos;
  return behind ? name.starts_with(pattern) : name == pattern;
}

bool counts_at_parse(std::string_view name) {
  static constexpr std::string_view kHarmless[] = {HALOGEN_HARMLESS_AT_PARSE};
  for (std::string_view pattern : kHarmless)
    if (matches(pattern, name)) return false;
  return true;
}

std::vector<std::string> strings_of(const json& report, const char* name) {
  auto found = report.find(name);
  return found == report.end() ? std::vector<std::string>{}
                               : found->get<std::vector<std::string>>();
}

std::string parse_items_of_object(const json& settings) {
  std::string items;
  for (auto& [name, value] : settings.items())
    if (counts_at_parse(name)) put_items(items, {name, value.get_ref<const std::string&>()});
  return items;
}

// A statement and the settings under which it was made.
std::string prepared_items(const json& prepared) {
  std::string items;
  if (auto settings = prepared.find("settings"); settings != prepared.end())
    for (auto& [name, value] : settings->items())
      put_items(items, {"under", name, value.get_ref<const std::string&>()});
  put_items(items, {"prepare", prepared.at("statement").get_ref<const std::string&>()});
  return items;
}

}  // namespace

StatePtr fresh_state() {
  static const StatePtr fresh = std::make_shared<const SessionState>();
  return fresh;
}

StatePtr parse_session_state(std::string_view text) try {
  json report = json::parse(text);
  auto state = std::make_shared<SessionState>();
  if (auto settings = report.find("settings"); settings != report.end())
    for (auto& [name, value] : settings->items())
      put_items(state->restore, {"setting", name, value.get_ref<const std::string&>()});
  if (auto settings = report.find("settings"); settings != report.end())
    state->parse_settings = parse_items_of_object(*settings);
  for (const std::string& name : strings_of(report, "known"))
    put_items(state->restore, {"known", name});
  for (const char* name : {"session_authorization", "role"})
    if (auto value = report.find(name); value != report.end())
      put_items(state->restore, {name, value->get_ref<const std::string&>()});
  if (auto prepared = report.find("prepared"); prepared != report.end())
    for (const json& one : *prepared) {
      state->prepared.emplace_back(one.value("name", ""), prepared_items(one));
      state->restore += state->prepared.back().second;
    }
  state->listen = strings_of(report, "listen");
  state->pins = strings_of(report, "pins");
  state->deallocations = report.value("deallocations", uint64_t{0});
  state->sequence_used = report.value("sequence_used", false);
  return state;
} catch (const json::exception& error) {
  throw Error(Errc::corrupt, "a report of the session's state: {}", error.what());
}

StatePtr without_prepared(const SessionState& state, std::string_view name) {
  auto rest = std::make_shared<SessionState>(state);
  for (auto& [known, items] : state.prepared)
    rest->restore.resize(rest->restore.size() - items.size());
  std::erase_if(rest->prepared, [&](auto& one) { return one.first == name; });
  for (auto& [known, items] : rest->prepared) rest->restore += items;
  return rest;
}

std::string default_items(std::string_view text) try {
  const json settings = json::parse(text);
  std::string items;
  for (auto& [name, value] : settings.items())
    put_items(items, {"default", name, value.get_ref<const std::string&>()});
  return items;
} catch (const json::exception& error) {
  throw Error(Errc::corrupt, "a report of defaults: {}", error.what());
}

std::string startup_items(const wire::Parameters& settings) {
  std::string items;
  for (auto& [name, value] : settings) put_items(items, {"startup", name, value});
  return items;
}

uint64_t parse_number(std::string_view value) {
  uint64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size())
    throw Error(Errc::corrupt, "the compute told \"{}\" where a number is due", value);
  return number;
}

std::string listen_items(const std::vector<std::string>& channels) {
  std::string items;
  for (const std::string& channel : channels) put_items(items, {"listen", channel});
  return items;
}

std::string parse_items_of(std::string_view text) try {
  return parse_items_of_object(json::parse(text));
} catch (const json::exception& error) {
  throw Error(Errc::corrupt, "a report of settings: {}", error.what());
}

std::optional<std::string> item(std::string_view text) {
  uint32_t code = 0;
  for (size_t at = 0, size = 0; at < text.size(); at += size)
    if ((size = decode_utf8(text.substr(at), code)) == 0) return std::nullopt;
  std::string out;
  put_item(out, text);
  return out;
}

std::string restore_statement(std::string_view pass, std::string_view startup,
                              std::string_view state, std::string_view listen) {
  std::string sql = "SET halogen.session TO ";
  std::string first;
  put_item(first, pass);
  sql.append(first.substr(1)).append(startup).append(state).append(listen);
  return sql;
}

}  // namespace halogen::proxy
