// http.h: what an API handler sees of a request and gives as an answer.
//
// Handlers are plain functions of (Services, Request) to Response; they throw Error, which becomes
// the status and the body that Neon's API gives such an error, or ApiError where that needs its own
// code.
#pragma once
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "control/accounts.h"
#include "control/api/audit_log.h"
#include "control/api/request.h"
#include "control/catalog.h"
#include "control/members.h"
#include "control/projects.h"
#include "control/roles_databases.h"
#include "control/suspend.h"
#include "control/usage_store.h"
#include "protocol/pooler_status.h"
#include "protocol/safekeeper_admin.h"
#include "protocol/sql_door.h"

namespace halogen::control {
class Monitor;
}

namespace halogen::control::api {

struct Response {
  int status = 200;
  std::string body;
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
};
Response json_response(int status, const nlohmann::json& body);

// What it answers, or 204 if the object that is to be deleted is not there.
template <typename Answer>
Response unless_gone(Answer answer) {
  try {
    return answer();
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    return {204, ""};
  }
}

// An error with its own HTTP status and code.
class ApiError : public std::runtime_error {
 public:
  ApiError(int http_status, std::string error_code, const std::string& message)
      : std::runtime_error(message), status(http_status), code(std::move(error_code)) {}
  int status;
  std::string code;
};

// One line of /status.
struct ComponentStatus {
  std::string name;
  std::string state;  // running, ...
  std::string detail;
};

class Console;

struct Services {
  Catalog& catalog;
  Accounts& accounts;
  Members& members;
  Projects& projects;
  RolesAndDatabases& roles_databases;
  EndpointManager& endpoints;
  ComputeHost& host;
  PageserverAdmin& pageserver;
  SafekeeperAdmin& safekeeper;
  std::string region = "us-east-1";
  bool settings_guard = true;      // Postgres settings are taken only if they are allowed.
  bool open_metrics = false;       // /metrics needs no key.
  AuditLog* audit_log = nullptr;   // Nobody: nothing is noted.
  double requests_per_second = 0;  // Of each API key; 0: as many as it likes.
  std::function<std::vector<ComponentStatus>()> components;
  // Where an endpoint's data directory is or would be, running or not.
  std::function<std::string(const std::string& endpoint_id)> data_directory;
  Pooler* pooler = nullptr;     // Nobody: there are no clients.
  SqlDoor* sql_door = nullptr;  // For /sql and WebSockets; nobody: there is no such resource.
  UsageStore* usage = nullptr;  // Nobody: nothing is counted, as in tests.
  Monitor* monitor = nullptr;   // Of computes' past; nobody: nothing is known of it.
  Console* console = nullptr;   // The page, and those signed in there; nobody: there is none.
  std::string platform;         // JSON object merged into /status: addresses, home, version.
};

using Handler = Response (*)(Services&, const Request&);

struct Route {
  enum class Key { needed, needed_unless_open_metrics, not_needed };

  const char* method;
  const char* pattern;  // "/api/v2/projects/:project_id": a name matches one path segment.
  Handler handler;
  Object::Kind object;  // With the ids that the path, or for projects the query, names.
  Verb verb = Verb::view;
  Key key = Key::needed;
};

// The table of routes.
const std::vector<Route>& routes();

// projects.cc
Response list_projects(Services&, const Request&);
Response create_project(Services&, const Request&);
Response get_project(Services&, const Request&);
Response update_project(Services&, const Request&);
Response delete_project(Services&, const Request&);
Response recover_project(Services&, const Request&);
Response list_preload_libraries(Services&, const Request&);
Response get_connection_uri(Services&, const Request&);
// branches.cc
Response list_branches(Services&, const Request&);
Response create_branch(Services&, const Request&);
Response get_branch(Services&, const Request&);
Response count_branches(Services&, const Request&);
Response update_branch(Services&, const Request&);
Response set_default_branch(Services&, const Request&);
Response delete_branch(Services&, const Request&);
Response restore_branch(Services&, const Request&);
// schema.cc
Response get_schema(Services&, const Request&);
Response compare_schema(Services&, const Request&);
// snapshots.cc
Response list_snapshots(Services&, const Request&);
Response create_snapshot(Services&, const Request&);
Response update_snapshot(Services&, const Request&);
Response delete_snapshot(Services&, const Request&);
Response restore_snapshot(Services&, const Request&);
Response finalize_restore(Services&, const Request&);
Response get_backup_schedule(Services&, const Request&);
Response set_backup_schedule(Services&, const Request&);
// roles.cc
Response list_roles(Services&, const Request&);
Response get_role(Services&, const Request&);
Response create_role(Services&, const Request&);
Response delete_role(Services&, const Request&);
Response reset_password(Services&, const Request&);
Response reveal_password(Services&, const Request&);
// databases.cc
Response list_databases(Services&, const Request&);
Response get_database(Services&, const Request&);
Response create_database(Services&, const Request&);
Response update_database(Services&, const Request&);
Response delete_database(Services&, const Request&);
// account.cc
Response get_description(Services&, const Request&);
Response get_auth(Services&, const Request&);
Response get_current_user(Services&, const Request&);
Response list_organizations(Services&, const Request&);
Response get_organization(Services&, const Request&);
Response list_regions(Services&, const Request&);
Response list_shared_projects(Services&, const Request&);
// members.cc
Response list_members(Services&, const Request&);
Response get_member(Services&, const Request&);
Response update_member(Services&, const Request&);
Response remove_member(Services&, const Request&);
Response create_invitations(Services&, const Request&);
Response delete_invitation(Services&, const Request&);
Response accept_invitation(Services&, const Request&);
Response list_invitations(Services&, const Request&);
Response list_permissions(Services&, const Request&);
// api_keys.cc
Response list_api_keys(Services&, const Request&);
Response create_api_key(Services&, const Request&);
Response revoke_api_key(Services&, const Request&);
Response list_organization_keys(Services&, const Request&);
Response create_organization_key(Services&, const Request&);
Response revoke_organization_key(Services&, const Request&);
// endpoints.cc
Response list_endpoints(Services&, const Request&);
Response list_branch_endpoints(Services&, const Request&);
Response create_endpoint(Services&, const Request&);
Response get_endpoint(Services&, const Request&);
Response delete_endpoint(Services&, const Request&);
Response update_endpoint(Services&, const Request&);
Response start_endpoint(Services&, const Request&);
Response suspend_endpoint(Services&, const Request&);
Response restart_endpoint(Services&, const Request&);
// pooler.cc
Response get_pooler(Services&, const Request&);
Response end_client(Services&, const Request&);
// consumption.cc
Response get_consumption(Services&, const Request&);
Response get_consumption_of_projects(Services&, const Request&);
Response get_consumption_of_branches(Services&, const Request&);
// operations.cc
Response list_operations(Services&, const Request&);
Response get_operation(Services&, const Request&);
// health.cc
Response get_health(Services&, const Request&);
Response get_metrics(Services&, const Request&);
Response get_status(Services&, const Request&);
// access.cc
Response get_login(Services&, const Request&);
Response grant_wal(Services&, const Request&);
// console.cc
Response get_console_session(Services&, const Request&);
Response create_console_session(Services&, const Request&);
Response delete_console_session(Services&, const Request&);
Response create_sign_in_link(Services&, const Request&);
// statistics.cc
Response create_statistics(Services&, const Request&);
// metrics.cc
Response get_endpoint_metrics(Services&, const Request&);
// overview.cc
Response get_overview(Services&, const Request&);
Response get_all_branches(Services&, const Request&);
Response get_project_overview(Services&, const Request&);
// keys.cc
Response list_keys(Services&, const Request&);
Response rotate_keys(Services&, const Request&);
Response drop_older_keys(Services&, const Request&);
// pages.cc
Response read_pages(Services&, const Request&);

}  // namespace halogen::control::api
