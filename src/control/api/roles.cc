#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

Response with_operation(int status, const Branch& branch, const RoleChange& change) {
  json role = role_json(branch, change.role);
  if (change.password) role["password"] = *change.password;
  return json_response(
      status, {{"role", role}, {"operations", json::array({operation_json(change.operation)})}});
}

}  // namespace

Response list_roles(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json roles = json::array();
  for (const StoredRole& role : services.roles_databases.roles(branch))
    roles.push_back(role_json(branch, role));
  return json_response(200, {{"roles", roles}});
}

Response get_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  StoredRole role = services.roles_databases.role(branch, request.at("role_name"));
  return json_response(200, {{"role", role_json(branch, role)}});
}

Response create_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "role");
  return with_operation(201, branch,
                        services.roles_databases.create_role(branch, text_or(wanted, "name", ""),
                                                             !flag_or(wanted, "no_login", false)));
}

Response delete_role(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return unless_gone([&] {
    return with_operation(200, branch,
                          services.roles_databases.delete_role(branch, request.at("role_name")));
  });
}

Response reset_password(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return with_operation(200, branch,
                        services.roles_databases.reset_password(branch, request.at("role_name")));
}

Response reveal_password(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  std::optional<std::string> password = services.projects.password(
      services.catalog.endpoint_of_branch(branch.id), request.at("role_name"));
  if (!password)
    throw Error(Errc::not_found,
                "role not found, or its password is not stored: it was set or changed by SQL");
  return json_response(200, {{"password", *password}});
}

}  // namespace halogen::control::api
