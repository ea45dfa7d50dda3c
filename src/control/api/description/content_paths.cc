// Roles and databases.
#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

constexpr const char* kRoles = "/projects/{project_id}/branches/{branch_id}/roles";
constexpr const char* kRole = "/projects/{project_id}/branches/{branch_id}/roles/{role_name}";
constexpr const char* kDatabases = "/projects/{project_id}/branches/{branch_id}/databases";
constexpr const char* kDatabase =
    "/projects/{project_id}/branches/{branch_id}/databases/{database_name}";

json changed(const char* name, const char* component) {
  return object({required(name, ref(component)), required("operations", list(ref("Operation")))});
}

void add_roles(json& paths) {
  OperationDescription(paths, "GET", kRoles, "listProjectBranchRoles", "The branch's roles")
      .answers(200, object({required("roles", list(ref("Role")))}));
  OperationDescription(paths, "POST", kRoles, "createProjectBranchRole", "Makes a role")
      .body(object(
          {required("role", object({required("name", text()), optional("no_login", flag())}))}))
      .answers(201, changed("role", "Role"));
  OperationDescription(paths, "GET", kRole, "getProjectBranchRole", "One role")
      .answers(200, object({required("role", ref("Role"))}));
  OperationDescription(paths, "DELETE", kRole, "deleteProjectBranchRole", "Deletes a role")
      .answers(200, changed("role", "Role"))
      .or_204();
  OperationDescription(paths, "GET", std::string(kRole) + "/reveal_password",
                       "getProjectBranchRolePassword", "A role's password, if we gave it")
      .answers(200, object({required("password", text())}));
  OperationDescription(paths, "POST", std::string(kRole) + "/reset_password",
                       "resetProjectBranchRolePassword", "Gives a role a new password")
      .answers(200, changed("role", "Role"));
}

void add_databases(json& paths) {
  OperationDescription(paths, "GET", kDatabases, "listProjectBranchDatabases",
                       "The branch's databases")
      .answers(200, object({required("databases", list(ref("Database")))}));
  OperationDescription(paths, "POST", kDatabases, "createProjectBranchDatabase", "Makes a database")
      .body(object({required("database",
                             object({required("name", text()), required("owner_name", text())}))}))
      .answers(201, changed("database", "Database"));
  OperationDescription(paths, "GET", kDatabase, "getProjectBranchDatabase", "One database")
      .answers(200, object({required("database", ref("Database"))}));
  OperationDescription(paths, "PATCH", kDatabase, "updateProjectBranchDatabase",
                       "Changes its name or owner")
      .body(object({required("database",
                             object({optional("name", text()), optional("owner_name", text())}))}))
      .answers(200, changed("database", "Database"));
  OperationDescription(paths, "DELETE", kDatabase, "deleteProjectBranchDatabase",
                       "Deletes a database")
      .answers(200, changed("database", "Database"))
      .or_204();
  OperationDescription(paths, "POST", std::string(kDatabase) + "/statistics", "createStatistics",
                       "Of Halogen: makes the extension pg_stat_statements")
      .answers(201, object({required("database", text()), required("extension", text())}));
}

}  // namespace

void add_content_paths(json& paths) {
  add_roles(paths);
  add_databases(paths);
}

}  // namespace halogen::control::api::parts
