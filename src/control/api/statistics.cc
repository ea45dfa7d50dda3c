// pg_stat_statements in a database: its extension is for superusers to make. A route of our own.
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

// Its views show each role its own statements, and the owner those of all. The library has to be
// among the compute's shared_preload_libraries: that is a setting, for whoever asks to change.
Response create_statistics(Services& services, const Request& request) {
  Branch branch = path_branch(services, request);
  const std::string database =
      services.roles_databases.database(branch, request.at("database_name")).name;
  const std::string endpoint = services.catalog.endpoint_of_branch(branch.id).id;
  services.endpoints.while_running(endpoint, [&] {
    services.host.execute(endpoint, database,
                          "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public");
  });
  return json_response(201, {{"database", database}, {"extension", "pg_stat_statements"}});
}

}  // namespace halogen::control::api
