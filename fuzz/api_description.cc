// The check of requests by the API's description, and the way to a route. The first byte chooses an
// operation, the first line is a query parameter's value, the rest the body. What is refused is
// refused with a reason; what is taken has the required members and the types that handlers rely
// on.
#include <nlohmann/json.hpp>
#include <vector>

#include "base/error.h"
#include "control/api/description/description.h"
#include "control/api/request.h"

namespace {

using namespace halogen;
using namespace halogen::control::api;
using nlohmann::json;

struct Described {
  std::string method;
  std::string pattern;
  std::vector<std::string> parameters;
};

std::vector<Described> described() {
  std::vector<Described> all;
  for (const auto& [path, methods] : description()["paths"].items())
    for (const auto& [method, operation] : methods.items()) {
      Described& one = all.emplace_back(Described{method, "/api/v2", {}});
      for (char c : path)
        if (c != '}') one.pattern += c == '{' ? ':' : c;
      for (const json& parameter : operation["parameters"])
        if (parameter["in"] == "query") one.parameters.push_back(parameter["name"]);
    }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Described> all = described();
  if (size == 0) return 0;
  const Described& one = all[data[0] % all.size()];
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t line = std::min(text.find('\n'), text.size());
  Request request;
  request.body = text.substr(std::min(line + 1, text.size()));
  for (const std::string& name : one.parameters) request.query[name] = text.substr(0, line);
  try {
    check_request(one.method, one.pattern, request.query,
                  [&] { return request.body.empty() ? json() : request.body_json(); });
  } catch (const Error& error) {
    if (error.code() != Errc::invalid_argument || std::string_view(error.what()).empty())
      __builtin_trap();
  }
  return 0;
}
