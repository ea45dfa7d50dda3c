#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json noted_role_json(const Branch& branch, const StoredRole& role,
                     const std::map<std::string, RoleTimes>& times) {
  auto seen = times.find(role.name);
  return role_json(branch, role, seen == times.end() ? std::nullopt : std::optional(seen->second));
}

Response with_operation(Services& services, int status, const Branch& branch,
                        const RoleChange& change) {
  json role = noted_role_json(branch, change.role, services.catalog.role_times(branch.id));
  if (change.password) role["password"] = *change.password;
  return json_response(
      status, {{"role", role}, {"operations", json::array({operation_json(change.operation)})}});
}

}  // namespace

Response list_roles(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json roles = json::array();
  const auto times = services.catalog.role_times(branch.id);
  for (const StoredRole& role : services.roles_databases.roles(branch))
    roles.push_back(noted_role_json(branch, role, times));
  return json_response(200, {{"roles", roles}});
}

Response get_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  StoredRole role = services.roles_databases.role(branch, request.at("role_name"));
  const auto times = services.catalog.role_times(branch.id);
  return json_response(200, {{"role", noted_role_json(branch, role, times)}});
}

Response create_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "role");
  return with_operation(services, 201, branch,
                        services.roles_databases.create_role(branch, text_or(wanted, "name", ""),
                                                             !flag_or(wanted, "no_login", false)));
}

Response delete_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  path_project(services, request);
  return unless_gone([&] {
    return with_operation(services, 200, branch,
                          services.roles_databases.delete_role(branch, request.at("role_name")));
  });
}

Response reset_password(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return with_operation(services, 200, branch,
                        services.roles_databases.reset_password(branch, request.at("role_name")));
}

Response reveal_password(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  if (!services.catalog.project(branch.project_id).store_passwords)
    throw ApiError(412, "", "storing passwords is disabled in this project: reset the password");
  std::optional<std::string> password = services.projects.connection_strings().password(
      services.catalog.endpoint_of_branch(branch.id), request.at("role_name"));
  if (!password)
    throw Error(Errc::not_found,
                "role not found, or its password is not stored: it was set or changed by SQL");
  return json_response(200, {{"password", *password}});
}

}  // namespace halogen::control::api
