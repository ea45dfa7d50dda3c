#include "cli/log_line.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/log_trace.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

std::string changed_case(std::string text, int (*change)(int)) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [change](unsigned char c) { return static_cast<char>(change(c)); });
  return text;
}

// Takes the text up to `end` off the front of `rest`, and `end` with it; "" if it is not there.
std::string take_until(std::string& rest, const std::string& end) {
  const size_t at = rest.find(end);
  if (at == std::string::npos) return "";
  std::string taken = rest.substr(0, at);
  rest.erase(0, at + end.size());
  return taken;
}

std::optional<LogLine> parse_json(const std::string& line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  LogLine parsed;
  for (const auto& [name, part] : {std::pair("time", &parsed.time),
                                   {"level", &parsed.level},
                                   {"component", &parsed.component},
                                   {"id", &parsed.id},
                                   {"message", &parsed.message}})
    if (auto found = object.find(name); found != object.end() && found->is_string())
      *part = found->get<std::string>();
  return parsed;
}

// 2026-11-29T07:00:00.123456Z INFO  [control] <5f3a> message
std::optional<LogLine> parse_text(std::string rest) {
  LogLine parsed;
  parsed.time = take_until(rest, " ");
  parsed.level = changed_case(take_until(rest, "["), std::tolower);
  parsed.level.erase(parsed.level.find_last_not_of(' ') + 1);
  parsed.component = take_until(rest, "] ");
  if (parsed.time.empty() || parsed.level.empty() || parsed.component.empty()) return std::nullopt;
  if (rest.starts_with("<")) {
    parsed.id = take_until(rest, "> ");
    if (!parsed.id.empty()) parsed.id.erase(0, 1);
  }
  parsed.message = rest;
  return parsed;
}

}  // namespace

std::string LogLine::as_text() const {
  return fmt::format("{} {:<5} [{}] {}{}", time, changed_case(level, std::toupper), component,
                     id.empty() ? "" : "<" + id + "> ", message);
}

std::string LogLine::as_json() const {
  std::string line =
      fmt::format("{{\"time\":{},\"level\":{},\"component\":{}", log::json_string(time),
                  log::json_string(level), log::json_string(component));
  if (!id.empty()) line += ",\"id\":" + log::json_string(id);
  return line + ",\"message\":" + log::json_string(message) + "}";
}

std::optional<LogLine> parse_log_line(const std::string& line) {
  return line.starts_with("{") ? parse_json(line) : parse_text(line);
}

}  // namespace halogen::cli
