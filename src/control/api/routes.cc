#include "control/api/http.h"

namespace halogen::control::api {

#define PROJECT "/api/v2/projects/:project_id"
#define BRANCH PROJECT "/branches/:branch_id"
#define ENDPOINT PROJECT "/endpoints/:endpoint_id"

const std::vector<Route>& routes() {
  static const std::vector<Route> table = {
      {"GET", "/healthz", get_health, Route::Key::not_needed},
      {"GET", "/metrics", get_metrics, Route::Key::needed_unless_open_metrics},
      {"GET", "/status", get_status},
      {"GET", "/internal/timelines/:timeline_id/pages", read_pages},
      {"GET", "/internal/endpoints/:endpoint_id/login", get_login},
      {"GET", "/internal/keys", list_keys},
      {"POST", "/internal/keys/rotate", rotate_keys},
      {"POST", "/internal/keys/drop_older", drop_older_keys},
      {"POST", BRANCH "/wal_reader", grant_wal},
      {"GET", "/api/v2/projects", list_projects},
      {"POST", "/api/v2/projects", create_project},
      {"GET", PROJECT, get_project},
      {"PATCH", PROJECT, update_project},
      {"DELETE", PROJECT, delete_project},
      {"GET", PROJECT "/connection_uri", get_connection_uri},
      {"GET", PROJECT "/branches", list_branches},
      {"POST", PROJECT "/branches", create_branch},
      {"GET", BRANCH, get_branch},
      {"DELETE", BRANCH, delete_branch},
      {"POST", BRANCH "/restore", restore_branch},
      {"GET", BRANCH "/endpoints", list_branch_endpoints},
      {"GET", BRANCH "/roles", list_roles},
      {"GET", BRANCH "/roles/:role_name/reveal_password", reveal_password},
      {"GET", BRANCH "/databases", list_databases},
      {"GET", PROJECT "/endpoints", list_endpoints},
      {"GET", ENDPOINT, get_endpoint},
      {"PATCH", ENDPOINT, update_endpoint},
      {"GET", ENDPOINT "/pooler", get_pooler},
      {"DELETE", ENDPOINT "/pooler/clients/:client_id", end_client},
      {"POST", ENDPOINT "/start", start_endpoint},
      {"POST", ENDPOINT "/suspend", suspend_endpoint},
      {"GET", PROJECT "/operations", list_operations},
      {"GET", PROJECT "/operations/:operation_id", get_operation},
  };
  return table;
}

}  // namespace halogen::control::api
