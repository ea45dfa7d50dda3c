// request.h: what a handler sees of a request, and reading it: text from anybody, in any shape.
//
// Pure: fuzz/api_request.cc drives it. What makes no sense is invalid_argument, with the name of
// the part that does not.
#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/principal.h"

namespace halogen::control::api {

// How deep arrays and objects may be in each other: some of what works on them is recursive.
constexpr int kMostDepth = 32;

struct Request {
  std::string method;
  std::map<std::string, std::string> path;  // By the names in the route's pattern.
  std::map<std::string, std::string> query;
  std::string body;
  Principal principal;        // Who asks; of a route that needs no key it means nothing.
  std::string address;        // The client's, as it is connected: a proxy's, if there is one.
  std::string session;        // The token of the console's session, if it may be used; or empty.
  bool from_console = false;  // By the console's own page: no other origin can have sent it.
  bool by_https = false;      // A proxy before us has taken off TLS.

  const std::string& at(const std::string& name) const { return path.at(name); }
  std::string query_or(const std::string& name, const std::string& otherwise) const;
  int64_t query_number(const std::string& name, int64_t otherwise, int64_t least,
                       int64_t most) const;
  // The body as a JSON object; empty body = empty object. Throws invalid_argument.
  nlohmann::json body_json() const;
};

// A whole number and nothing else; bytes as two hexadecimal digits each.
std::optional<int64_t> parse_whole(std::string_view text);
std::optional<std::string> parse_hex(std::string_view text);

// How deep the arrays and objects of a JSON text are in each other; of any text, without a stack.
int json_depth(std::string_view text);

// `object[key]` if it is there and neither null nor "", else `otherwise`; invalid_argument if it is
// of another type.
std::string text_or(const nlohmann::json& object, const char* key, const std::string& otherwise);
int64_t number_or(const nlohmann::json& object, const char* key, int64_t otherwise);
bool flag_or(const nlohmann::json& object, const char* key, bool otherwise);
// `object[key]` if it is there, else an empty object; invalid_argument if it is no object.
nlohmann::json object_or_empty(const nlohmann::json& object, const char* key);

}  // namespace halogen::control::api
