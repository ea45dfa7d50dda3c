// description.h: the API's description (OpenAPI 3.0): what is served at /api/v2/openapi.json, and
// what requests are checked by. Facts about the shapes are Neon's, so that its clients fit.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace halogen::control::api {

// The whole document.
const nlohmann::json& description();

// Throws invalid_argument, naming the parameter or the member, unless the query and the body of a
// request fit. `pattern` is the route's. What is not described is not checked. The body is asked
// for only where there can be one; null: there is none.
void check_request(const std::string& method, const std::string& pattern,
                   const std::map<std::string, std::string>& query,
                   const std::function<nlohmann::json()>& body);

// Parts of it, by resource: the schemas of objects, and the paths.
namespace parts {
nlohmann::json components();
nlohmann::json console_components();  // Of routes of our own.
void add_console_paths(nlohmann::json& paths);
void add_account_paths(nlohmann::json& paths);
void add_project_paths(nlohmann::json& paths);
void add_branch_paths(nlohmann::json& paths);
void add_content_paths(nlohmann::json& paths);  // Roles and databases.
void add_endpoint_paths(nlohmann::json& paths);
void add_snapshot_paths(nlohmann::json& paths);
void add_consumption_paths(nlohmann::json& paths);
}  // namespace parts

}  // namespace halogen::control::api
