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
      {"GET", "/api/v2/console/session", get_console_session, Route::Key::not_needed},
      {"POST", "/api/v2/console/session", create_console_session, Route::Key::not_needed},
      {"DELETE", "/api/v2/console/session", delete_console_session, Route::Key::not_needed},
      {"POST", "/api/v2/console/sign_in_links", create_sign_in_link},
      {"GET", "/api/v2/console/overview", get_overview},
      {"GET", "/api/v2/console/platform", get_status},
      {"GET", "/api/v2/auth", get_auth},
      {"GET", "/api/v2/users/me", get_current_user},
      {"GET", "/api/v2/users/me/organizations", list_organizations},
      {"GET", "/api/v2/regions", list_regions},
      {"GET", "/api/v2/projects", list_projects},
      {"POST", "/api/v2/projects", create_project},
      {"GET", "/api/v2/projects/shared", list_shared_projects},
      {"GET", PROJECT, get_project},
      {"PATCH", PROJECT, update_project},
      {"DELETE", PROJECT, delete_project},
      {"GET", PROJECT "/overview", get_project_overview},
      {"GET", PROJECT "/connection_uri", get_connection_uri},
      {"GET", PROJECT "/branches", list_branches},
      {"POST", PROJECT "/branches", create_branch},
      {"GET", PROJECT "/branches/count", count_branches},
      {"GET", BRANCH, get_branch},
      {"PATCH", BRANCH, update_branch},
      {"POST", BRANCH "/set_as_default", set_default_branch},
      {"DELETE", BRANCH, delete_branch},
      {"POST", BRANCH "/restore", restore_branch},
      {"GET", BRANCH "/endpoints", list_branch_endpoints},
      {"GET", BRANCH "/roles", list_roles},
      {"POST", BRANCH "/roles", create_role},
      {"GET", BRANCH "/roles/:role_name", get_role},
      {"DELETE", BRANCH "/roles/:role_name", delete_role},
      {"GET", BRANCH "/roles/:role_name/reveal_password", reveal_password},
      {"POST", BRANCH "/roles/:role_name/reset_password", reset_password},
      {"GET", BRANCH "/databases", list_databases},
      {"POST", BRANCH "/databases", create_database},
      {"GET", BRANCH "/databases/:database_name", get_database},
      {"PATCH", BRANCH "/databases/:database_name", update_database},
      {"DELETE", BRANCH "/databases/:database_name", delete_database},
      {"GET", PROJECT "/endpoints", list_endpoints},
      {"GET", ENDPOINT, get_endpoint},
      {"PATCH", ENDPOINT, update_endpoint},
      {"GET", ENDPOINT "/metrics", get_endpoint_metrics},
      {"GET", ENDPOINT "/pooler", get_pooler},
      {"DELETE", ENDPOINT "/pooler/clients/:client_id", end_client},
      {"POST", ENDPOINT "/start", start_endpoint},
      {"POST", ENDPOINT "/suspend", suspend_endpoint},
      {"POST", ENDPOINT "/restart", restart_endpoint},
      {"GET", PROJECT "/operations", list_operations},
      {"GET", PROJECT "/operations/:operation_id", get_operation},
  };
  return table;
}

}  // namespace halogen::control::api
