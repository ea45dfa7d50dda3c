#include "control/api/description/operation.h"

#include <algorithm>
#include <cctype>

namespace halogen::control::api {

using schema::json;

namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

json path_parameters(const std::string& path) {
  json parameters = json::array();
  for (size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
    const std::string name = path.substr(at + 1, path.find('}', at) - at - 1);
    const bool is_name = name.ends_with("_name") || name == "client_id";
    json schema = is_name                  ? schema::text()
                  : name == "key_id"       ? schema::whole()
                  : name == "operation_id" ? schema::uuid()
                                           : schema::id();
    parameters.push_back(
        {{"name", name}, {"in", "path"}, {"required", true}, {"schema", std::move(schema)}});
  }
  return parameters;
}

}  // namespace

OperationDescription::OperationDescription(json& paths, const char* method, const std::string& path,
                                           const char* operation_id, const char* summary)
    : operation_(paths[path][lower(method)]) {
  operation_ = {
      {"operationId", operation_id},
      {"summary", summary},
      {"parameters", path_parameters(path)},
      {"responses",
       {{"default",
         {{"description", "An error"},
          {"content", {{"application/json", {{"schema", schema::ref("GeneralError")}}}}}}}}}};
}

OperationDescription& OperationDescription::query(std::initializer_list<Parameter> parameters) {
  for (const Parameter& parameter : parameters)
    operation_["parameters"].push_back({{"name", parameter.name},
                                        {"in", "query"},
                                        {"required", parameter.required},
                                        {"schema", parameter.schema}});
  return *this;
}

OperationDescription& OperationDescription::body(json schema, bool required) {
  operation_["requestBody"] = {
      {"required", required}, {"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
  return *this;
}

OperationDescription& OperationDescription::answers(int status, json schema, const char* text) {
  operation_["responses"][std::to_string(status)] = {
      {"description", text}, {"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
  return *this;
}

OperationDescription& OperationDescription::or_204() {
  operation_["responses"]["204"] = {{"description", "It was not there"}};
  return *this;
}

}  // namespace halogen::control::api
