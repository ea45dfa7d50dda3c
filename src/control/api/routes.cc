#include "control/api/http.h"

namespace halogen::control::api {
namespace {

using Kind = Object::Kind;

Verb verb_of(std::string_view method) { return method == "GET" ? Verb::view : Verb::edit; }

Route about(Kind kind, const char* method, const char* pattern, Handler handler) {
  return {method, pattern, handler, kind, verb_of(method)};
}

Route open(const char* method, const char* pattern, Handler handler, Route::Key key) {
  return {method, pattern, handler, Kind::platform, Verb::view, key};
}

// Ours, for whoever runs this platform: it goes past what the API of Neon's shows.
Route platform(const char* method, const char* pattern, Handler handler) {
  return about(Kind::platform, method, pattern, handler);
}

Route project(const char* method, const char* pattern, Handler handler) {
  return about(Kind::project, method, pattern, handler);
}

Route managing(Route route) {
  route.verb = Verb::manage;
  return route;
}

Route revealing(Route route) {
  route.verb = Verb::reveal;
  return route;
}

#define API "/api/v2"
#define CONSOLE API "/console"
#define CONSUMPTION API "/consumption_history"
#define ORGANIZATION API "/organizations/:org_id"
#define PROJECT API "/projects/:project_id"
#define BRANCH PROJECT "/branches/:branch_id"
#define SNAPSHOT PROJECT "/snapshots/:snapshot_id"
#define ENDPOINT PROJECT "/endpoints/:endpoint_id"

void add_platform(std::vector<Route>& table) {
  table.insert(table.end(),
               {
                   open("GET", "/healthz", get_health, Route::Key::not_needed),
                   open("GET", "/metrics", get_metrics, Route::Key::needed_unless_open_metrics),
                   platform("GET", "/status", get_status),
                   platform("GET", "/internal/timelines/:timeline_id/pages", read_pages),
                   platform("GET", "/internal/endpoints/:endpoint_id/login", get_login),
                   platform("GET", "/internal/keys", list_keys),
                   platform("POST", "/internal/keys/rotate", rotate_keys),
                   platform("POST", "/internal/keys/drop_older", drop_older_keys),
               });
}

void add_accounts(std::vector<Route>& table) {
  table.insert(
      table.end(),
      {
          open("GET", CONSOLE "/session", get_console_session, Route::Key::not_needed),
          open("POST", CONSOLE "/session", create_console_session, Route::Key::not_needed),
          open("DELETE", CONSOLE "/session", delete_console_session, Route::Key::not_needed),
          platform("POST", CONSOLE "/sign_in_links", create_sign_in_link),
          platform("GET", CONSOLE "/overview", get_overview),
          platform("GET", CONSOLE "/branches", get_all_branches),
          platform("GET", CONSOLE "/platform", get_status),
          open("GET", API "/openapi.json", get_description, Route::Key::not_needed),
          about(Kind::identity, "GET", API "/auth", get_auth),
          about(Kind::user, "GET", API "/users/me", get_current_user),
          about(Kind::identity, "GET", API "/users/me/organizations", list_organizations),
          about(Kind::organization, "GET", ORGANIZATION, get_organization),
          about(Kind::organization, "GET", ORGANIZATION "/members", list_members),
          about(Kind::organization, "GET", ORGANIZATION "/members/:member_id", get_member),
          managing(about(Kind::organization, "PATCH", ORGANIZATION "/members/:member_id",
                         update_member)),
          managing(about(Kind::organization, "DELETE", ORGANIZATION "/members/:member_id",
                         remove_member)),
          about(Kind::organization, "GET", ORGANIZATION "/invitations", list_invitations),
          managing(
              about(Kind::organization, "POST", ORGANIZATION "/invitations", create_invitations)),
          managing(about(Kind::organization, "DELETE", ORGANIZATION "/invitations/:invitation_id",
                         delete_invitation)),
          open("POST", API "/invitations/accept", accept_invitation, Route::Key::not_needed),
          about(Kind::user, "GET", API "/regions", list_regions),
          about(Kind::user, "GET", API "/api_keys", list_api_keys),
          managing(about(Kind::user, "POST", API "/api_keys", create_api_key)),
          managing(about(Kind::user, "DELETE", API "/api_keys/:key_id", revoke_api_key)),
          about(Kind::organization, "GET", ORGANIZATION "/api_keys", list_organization_keys),
          managing(
              about(Kind::organization, "POST", ORGANIZATION "/api_keys", create_organization_key)),
          managing(about(Kind::organization, "DELETE", ORGANIZATION "/api_keys/:key_id",
                         revoke_organization_key)),
      });
}

void add_projects(std::vector<Route>& table) {
  table.insert(
      table.end(),
      {
          about(Kind::projects, "GET", API "/projects", list_projects),
          about(Kind::projects, "POST", API "/projects", create_project),
          about(Kind::user, "GET", API "/projects/shared", list_shared_projects),
          about(Kind::projects, "GET", CONSUMPTION "/projects", get_consumption),
          about(Kind::projects, "GET", CONSUMPTION "/v2/projects", get_consumption_of_projects),
          about(Kind::projects, "GET", CONSUMPTION "/v2/branches", get_consumption_of_branches),
          project("GET", PROJECT, get_project),
          project("GET", PROJECT "/overview", get_project_overview),
          project("PATCH", PROJECT, update_project),
          managing(project("DELETE", PROJECT, delete_project)),
          project("POST", PROJECT "/recover", recover_project),
          revealing(project("GET", PROJECT "/connection_uri", get_connection_uri)),
          project("GET", PROJECT "/available_preload_libraries", list_preload_libraries),
          project("GET", PROJECT "/permissions", list_permissions),
          project("GET", PROJECT "/operations", list_operations),
          project("GET", PROJECT "/operations/:operation_id", get_operation),
      });
}

void add_branches(std::vector<Route>& table) {
  table.insert(
      table.end(),
      {
          project("GET", PROJECT "/branches", list_branches),
          project("POST", PROJECT "/branches", create_branch),
          project("GET", PROJECT "/branches/count", count_branches),
          project("GET", BRANCH, get_branch),
          project("PATCH", BRANCH, update_branch),
          project("DELETE", BRANCH, delete_branch),
          project("POST", BRANCH "/set_as_default", set_default_branch),
          project("POST", BRANCH "/restore", restore_branch),
          project("POST", BRANCH "/wal_reader", grant_wal),
          project("POST", BRANCH "/snapshot", create_snapshot),
          project("POST", BRANCH "/finalize_restore", finalize_restore),
          project("GET", BRANCH "/backup_schedule", get_backup_schedule),
          project("PUT", BRANCH "/backup_schedule", set_backup_schedule),
          project("GET", PROJECT "/snapshots", list_snapshots),
          project("PATCH", SNAPSHOT, update_snapshot),
          project("DELETE", SNAPSHOT, delete_snapshot),
          project("POST", SNAPSHOT "/restore", restore_snapshot),
          project("GET", BRANCH "/schema", get_schema),
          project("GET", BRANCH "/compare_schema", compare_schema),
          project("GET", BRANCH "/endpoints", list_branch_endpoints),
          project("GET", BRANCH "/roles", list_roles),
          project("POST", BRANCH "/roles", create_role),
          project("GET", BRANCH "/roles/:role_name", get_role),
          project("DELETE", BRANCH "/roles/:role_name", delete_role),
          revealing(project("GET", BRANCH "/roles/:role_name/reveal_password", reveal_password)),
          project("POST", BRANCH "/roles/:role_name/reset_password", reset_password),
          project("GET", BRANCH "/databases", list_databases),
          project("POST", BRANCH "/databases", create_database),
          project("GET", BRANCH "/databases/:database_name", get_database),
          project("PATCH", BRANCH "/databases/:database_name", update_database),
          project("DELETE", BRANCH "/databases/:database_name", delete_database),
          project("POST", BRANCH "/databases/:database_name/statistics", create_statistics),
      });
}

void add_endpoints(std::vector<Route>& table) {
  table.insert(table.end(),
               {
                   project("GET", PROJECT "/endpoints", list_endpoints),
                   project("POST", PROJECT "/endpoints", create_endpoint),
                   project("GET", ENDPOINT, get_endpoint),
                   project("PATCH", ENDPOINT, update_endpoint),
                   project("DELETE", ENDPOINT, delete_endpoint),
                   project("POST", ENDPOINT "/start", start_endpoint),
                   project("POST", ENDPOINT "/suspend", suspend_endpoint),
                   project("POST", ENDPOINT "/restart", restart_endpoint),
                   project("GET", ENDPOINT "/metrics", get_endpoint_metrics),
                   project("GET", ENDPOINT "/pooler", get_pooler),
                   project("DELETE", ENDPOINT "/pooler/clients/:client_id", end_client),
               });
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = [] {
    std::vector<Route> all;
    add_platform(all);
    add_accounts(all);
    add_projects(all);
    add_branches(all);
    add_endpoints(all);
    return all;
  }();
  return table;
}

}  // namespace halogen::control::api
