#include "control/api/description/description.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "control/api/description/schema.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

constexpr std::string_view kBase = "/api/v2";

json make_description() {
  json paths = json::object();
  parts::add_account_paths(paths);
  parts::add_project_paths(paths);
  parts::add_branch_paths(paths);
  parts::add_content_paths(paths);
  parts::add_endpoint_paths(paths);
  parts::add_snapshot_paths(paths);
  parts::add_consumption_paths(paths);
  parts::add_console_paths(paths);
  json schemas = parts::components();
  schemas.update(parts::console_components());
  return {{"openapi", "3.0.3"},
          {"info",
           {{"title", "Halogen"},
            {"version", "v2"},
            {"description", "What Halogen offers of Neon's API v2, and a little of its own."}}},
          {"servers", json::array({{{"url", kBase}}})},
          {"security", json::array({{{"BearerAuth", json::array()}}})},
          {"paths", std::move(paths)},
          {"components",
           {{"securitySchemes", {{"BearerAuth", {{"type", "http"}, {"scheme", "bearer"}}}}},
            {"schemas", std::move(schemas)}}}};
}

// "/api/v2/projects/:project_id" as "/projects/{project_id}".
std::string path_of(std::string_view pattern) {
  std::string path;
  pattern.remove_prefix(std::min(kBase.size(), pattern.size()));
  while (!pattern.empty()) {
    const size_t slash = std::min(pattern.find('/', 1), pattern.size());
    std::string_view segment = pattern.substr(1, slash - 1);
    path += segment.starts_with(':') ? "/{" + std::string(segment.substr(1)) + "}"
                                     : "/" + std::string(segment);
    pattern.remove_prefix(slash);
  }
  return path;
}

const json* operation_of(std::string method, std::string_view pattern) {
  if (!pattern.starts_with(kBase)) return nullptr;
  std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
  const json& paths = description().at("paths");
  auto path = paths.find(path_of(pattern));
  if (path == paths.end()) return nullptr;
  auto operation = path->find(method);
  return operation == path->end() ? nullptr : &*operation;
}

}  // namespace

const json& description() {
  static const json document = make_description();
  return document;
}

void check_request(const std::string& method, const std::string& pattern,
                   const std::map<std::string, std::string>& query,
                   const std::function<json()>& body) {
  const json* operation = operation_of(method, pattern);
  if (operation == nullptr) return;
  for (const json& parameter : operation->at("parameters")) {
    if (parameter.at("in") != "query") continue;
    const std::string& name = parameter.at("name").get_ref<const std::string&>();
    auto given = query.find(name);
    if (given != query.end() && !given->second.empty())
      schema::check_parameter(parameter.at("schema"), given->second, name);
    else if (parameter.at("required") == true)
      throw Error(Errc::invalid_argument, "{} is required", name);
  }
  auto described = operation->find("requestBody");
  if (described == operation->end()) return;
  const json value = body();
  if (value.is_null() && described->at("required") != true) return;
  schema::check(described->at("content").at("application/json").at("schema"),
                value.is_null() ? json::object() : value, "",
                description().at("components").at("schemas"));
}

}  // namespace halogen::control::api
