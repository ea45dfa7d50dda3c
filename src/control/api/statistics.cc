// pg_stat_statements in a database, as its owner's own extension. A route of our own.
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

// Its views show each role its own statements, and the owner those of all. The library has to be
// among those that computes preload: that is a setting, for whoever asks to change.
Response create_statistics(Services& services, const Request& request) {
  constexpr const char* kExtension = "pg_stat_statements";
  const std::string database = services.roles_databases.create_extension(
      path_branch(services, request), request.at("database_name"), kExtension);
  return json_response(201, {{"database", database}, {"extension", kExtension}});
}

}  // namespace halogen::control::api
