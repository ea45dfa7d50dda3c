#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

Response with_operation(int status, const Branch& branch, const DatabaseChange& change) {
  return json_response(status, {{"database", database_json(branch, change.database)},
                                {"operations", json::array({operation_json(change.operation)})}});
}

}  // namespace

Response list_databases(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json databases = json::array();
  for (const DatabaseRecord& database : services.roles_databases.databases(branch))
    databases.push_back(database_json(branch, database));
  return json_response(200, {{"databases", databases}});
}

Response get_database(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  DatabaseRecord database = services.roles_databases.database(branch, request.at("database_name"));
  return json_response(200, {{"database", database_json(branch, database)}});
}

Response create_database(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "database");
  return with_operation(
      201, branch,
      services.roles_databases.create_database(branch, text_or(wanted, "name", ""),
                                               text_or(wanted, "owner_name", "")));
}

Response update_database(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  json wanted = object_or_empty(request.body_json(), "database");
  return with_operation(200, branch,
                        services.roles_databases.update_database(
                            branch, request.at("database_name"), text_or(wanted, "name", ""),
                            text_or(wanted, "owner_name", "")));
}

Response delete_database(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  return unless_gone([&] {
    return with_operation(
        200, branch, services.roles_databases.delete_database(branch, request.at("database_name")));
  });
}

}  // namespace halogen::control::api
