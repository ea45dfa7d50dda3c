#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

constexpr const char* kPath = "/projects/{project_id}";
constexpr int64_t kMostRetention = 2'592'000;

json page_of_projects() {
  return object({required("projects", list(ref("ProjectListItem"))),
                 optional("applications", map_of(list(text()))),
                 optional("integrations", map_of(list(text()))),
                 optional("pagination", object({required("cursor", text())}))});
}

json new_project() {
  return object(
      {optional("name", text(256)), optional("org_id", id()), optional("region_id", text()),
       optional("pg_version", whole()), optional("store_passwords", flag()),
       optional("history_retention_seconds", whole(0, kMostRetention)),
       optional("settings", ref("ProjectSettings")),
       optional("default_endpoint_settings", ref("DefaultEndpointSettings")),
       optional("autoscaling_limit_min_cu", number(0.25)),
       optional("autoscaling_limit_max_cu", number(0.25)),
       optional("branch", object({optional("name", text(256)), optional("role_name", text()),
                                  optional("database_name", text()),
                                  optional("annotations", map_of(text()))}))});
}

json changed_project() {
  return object({optional("name", text(256)), optional("settings", ref("ProjectSettings")),
                 optional("default_endpoint_settings", ref("DefaultEndpointSettings")),
                 optional("history_retention_seconds", whole(0, kMostRetention))});
}

void add_lists(json& paths) {
  OperationDescription(paths, "GET", "/projects", "listProjects",
                       "An organization's projects, oldest first")
      .query({{"cursor", text()},
              {"limit", whole(1, 400)},
              {"search", text()},
              {"org_id", id()},
              {"timeout", whole(100, 30000)},
              {"recoverable", flag()}})
      .answers(200, page_of_projects());
  OperationDescription(paths, "GET", "/projects/shared", "listSharedProjects",
                       "Projects of others that this user may use: there are none")
      .query({{"cursor", text()},
              {"limit", whole(1, 400)},
              {"search", text()},
              {"timeout", whole(100, 30000)}})
      .answers(200, page_of_projects());
}

void add_operations(json& paths) {
  const std::string path = std::string(kPath) + "/operations";
  OperationDescription(paths, "GET", path, "listProjectOperations",
                       "What was done to the project, newest first")
      .query({{"cursor", text()}, {"limit", whole(1, 1000)}})
      .answers(200, object({required("operations", list(ref("Operation"))),
                            optional("pagination", object({required("cursor", text())}))}));
  OperationDescription(paths, "GET", path + "/{operation_id}", "getProjectOperation",
                       "One operation")
      .answers(200, object({required("operation", ref("Operation"))}));
}

}  // namespace

void add_project_paths(json& paths) {
  add_lists(paths);
  OperationDescription(paths, "POST", "/projects", "createProject",
                       "Makes a project with a branch, an endpoint, a role and a database")
      .body(object({required("project", new_project())}), false)
      .answers(201, object({required("project", ref("Project")),
                            required("connection_uris", list(ref("ConnectionDetails"))),
                            required("roles", list(ref("Role"))),
                            required("databases", list(ref("Database"))),
                            required("operations", list(ref("Operation"))),
                            required("branch", ref("Branch")),
                            required("endpoints", list(ref("Endpoint")))}));
  OperationDescription(paths, "GET", kPath, "getProject", "One project")
      .answers(200, object({required("project", ref("Project"))}));
  OperationDescription(paths, "PATCH", kPath, "updateProject",
                       "Changes its name, settings, or what new endpoints are like")
      .body(object({required("project", changed_project())}))
      .answers(200, object({required("project", ref("Project")),
                            required("operations", list(ref("Operation")))}));
  OperationDescription(paths, "DELETE", kPath, "deleteProject",
                       "Deletes it; it can be recovered for seven days")
      .query({{"hard_delete", described(flag(), "Of Halogen: at once, with no way back")}})
      .answers(200, object({required("project", ref("Project"))}));
  OperationDescription(paths, "POST", std::string(kPath) + "/recover", "recoverProject",
                       "Brings a deleted project back")
      .answers(200, object({required("project", ref("Project")),
                            required("branches", list(ref("Branch")))}));
  OperationDescription(paths, "GET", std::string(kPath) + "/connection_uri", "getConnectionURI",
                       "A connection string")
      .query({{"branch_id", id()},
              {"endpoint_id", id()},
              {"database_name", described(text(), "By default the branch's first")},
              {"role_name", described(text(), "By default the branch's first")},
              {"pooled", flag()}})
      .answers(200, object({required("uri", text())}));
  OperationDescription(paths, "GET", std::string(kPath) + "/available_preload_libraries",
                       "getAvailablePreloadLibraries", "What its computes may preload")
      .answers(200,
               object({required(
                   "libraries",
                   list(object({required("library_name", text()), required("description", text()),
                                required("is_default", flag()), required("is_experimental", flag()),
                                required("version", text())})))}));
  OperationDescription(paths, "GET", std::string(kPath) + "/overview", "getProjectOverview",
                       "Of Halogen: what the console shows of its branches and computes")
      .answers(200, ref("ProjectOverview"));
  add_operations(paths);
}

}  // namespace halogen::control::api::parts
