#include "control/api/request.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace halogen::control::api {

using nlohmann::json;

int json_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;  // What it escapes ends no string.
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

std::optional<int64_t> parse_whole(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  auto [parsed, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc() || parsed != end) return std::nullopt;
  return number;
}

std::optional<std::string> parse_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += 2) {
    uint8_t byte = 0;
    const char* end = text.data() + at + 2;
    auto [parsed, failed] = std::from_chars(text.data() + at, end, byte, 16);
    if (failed != std::errc() || parsed != end) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::string Request::query_or(const std::string& name, const std::string& otherwise) const {
  auto found = query.find(name);
  return found == query.end() || found->second.empty() ? otherwise : found->second;
}

int64_t Request::query_number(const std::string& name, int64_t otherwise, int64_t least,
                              int64_t most) const {
  std::string text = query_or(name, "");
  if (text.empty()) return otherwise;
  const std::optional<int64_t> number = parse_whole(text);
  if (!number || *number < least || *number > most)
    throw Error(Errc::invalid_argument, "{} must be a number from {} to {}", name, least, most);
  return *number;
}

json Request::body_json() const {
  if (body.empty()) return json::object();
  if (json_depth(body) > kMostDepth)
    throw Error(Errc::invalid_argument, "the body is nested more than {} deep", kMostDepth);
  json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object()) throw Error(Errc::invalid_argument, "the body is not a JSON object");
  return parsed;
}

std::string text_or(const json& object, const char* key, const std::string& otherwise) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_string()) throw Error(Errc::invalid_argument, "{} must be a string", key);
  std::string text = found->get<std::string>();
  return text.empty() ? otherwise : text;
}

int64_t number_or(const json& object, const char* key, int64_t otherwise) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  // A larger one would come out as another.
  bool fits = !found->is_number_unsigned() || found->get<uint64_t>() <= INT64_MAX;
  if (!found->is_number_integer() || !fits)
    throw Error(Errc::invalid_argument, "{} must be an integer", key);
  return found->get<int64_t>();
}

bool flag_or(const json& object, const char* key, bool otherwise) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  if (!found->is_boolean()) throw Error(Errc::invalid_argument, "{} must be true or false", key);
  return found->get<bool>();
}

json object_or_empty(const json& object, const char* key) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return json::object();
  if (!found->is_object()) throw Error(Errc::invalid_argument, "{} must be an object", key);
  return *found;
}

}  // namespace halogen::control::api
