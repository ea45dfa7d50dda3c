#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

constexpr const char* kBranches = "/projects/{project_id}/branches";
constexpr const char* kBranch = "/projects/{project_id}/branches/{branch_id}";

json changed() {
  return object(
      {required("branch", ref("Branch")), required("operations", list(ref("Operation")))});
}

json new_endpoint() {
  return object({required("type", choice({"read_write", "read_only"})),
                 optional("settings", ref("EndpointSettings")), optional("provisioner", text()),
                 optional("autoscaling_limit_min_cu", number(0.25)),
                 optional("autoscaling_limit_max_cu", number(0.25)),
                 optional("suspend_timeout_seconds", whole(-1, 604800))});
}

json new_branch() {
  return object({optional("name", text(256)), optional("parent_id", id()),
                 optional("parent_lsn", text()), optional("parent_timestamp", time()),
                 optional("protected", flag()), optional("archived", flag()),
                 optional("init_source", choice({"parent-data", "schema-only"})),
                 optional("expires_at", time())});
}

void add_lists(json& paths) {
  OperationDescription(paths, "GET", kBranches, "listProjectBranches", "A project's branches")
      .query({{"search", text()},
              {"sort_by", choice({"name", "created_at", "updated_at"})},
              {"sort_order", choice({"asc", "desc"})},
              {"cursor", text()},
              {"limit", whole(1, 10000)},
              {"include_deleted", flag()}})
      .answers(200, object({required("branches", list(ref("Branch"))),
                            required("annotations", map_of(ref("Annotation"))),
                            optional("pagination",
                                     object({optional("next", text()), optional("sort_by", text()),
                                             optional("sort_order", text())}))}));
  OperationDescription(paths, "GET", std::string(kBranches) + "/count", "countProjectBranches",
                       "How many there are")
      .query({{"search", text()}})
      .answers(200, object({required("count", whole())}));
}

void add_schema(json& paths) {
  json columns = object({required("name", text()), required("type", text()),
                         optional("nullable", flag()), optional("generated", flag())});
  json constraints = object(
      {required("type", text()), optional("name", text()), required("columns", list(text())),
       optional("referenced_table", object({required("schema", text()), required("table", text()),
                                            required("columns", list(text()))}))});
  json tables = list(
      object({required("schema", text()), required("name", text()),
              required("columns", list(columns)), optional("constraints", list(constraints))}));
  OperationDescription(paths, "GET", std::string(kBranch) + "/schema", "getProjectBranchSchema",
                       "A database's schema, now or at a moment of the past")
      .query({{"db_name", text(), true},
              {"lsn", text()},
              {"timestamp", time()},
              {"format", choice({"sql", "json"})}})
      .answers(200, object({optional("sql", text()),
                            optional("json", object({required("tables", tables)}))}));
  OperationDescription(paths, "GET", std::string(kBranch) + "/compare_schema",
                       "getProjectBranchSchemaComparison",
                       "How a database's schema differs from that of another branch")
      .query({{"db_name", text(), true},
              {"base_branch_id", described(id(), "By default the parent")},
              {"lsn", text()},
              {"timestamp", time()},
              {"base_lsn", text()},
              {"base_timestamp", time()}})
      .answers(200, object({optional("diff", text())}));
}

void add_restore(json& paths) {
  OperationDescription(paths, "POST", std::string(kBranch) + "/restore", "restoreProjectBranch",
                       "Lets the branch go on from another moment, of its own or another's past")
      .body(object({required("source_branch_id", id()), optional("source_lsn", text()),
                    optional("source_timestamp", time()),
                    optional("preserve_under_name", text(256))}))
      .answers(200, changed());
}

}  // namespace

void add_branch_paths(json& paths) {
  add_lists(paths);
  OperationDescription(paths, "POST", kBranches, "createProjectBranch",
                       "Branches from the head or a moment of a parent; nothing is copied")
      .body(object({optional("branch", new_branch()), optional("endpoints", list(new_endpoint())),
                    optional("annotation_value", map_of(text()))}),
            false)
      .answers(201, object({required("branch", ref("Branch")),
                            required("endpoints", list(ref("Endpoint"))),
                            required("operations", list(ref("Operation"))),
                            required("roles", list(ref("Role"))),
                            required("databases", list(ref("Database"))),
                            optional("connection_uris", list(ref("ConnectionDetails")))}));
  OperationDescription(paths, "GET", kBranch, "getProjectBranch", "One branch")
      .answers(200, object({required("branch", ref("Branch")),
                            required("annotation", ref("Annotation"))}));
  OperationDescription(paths, "PATCH", kBranch, "updateProjectBranch",
                       "Changes its name, protection or expiration")
      .body(object(
          {required("branch", object({optional("name", text(256)), optional("protected", flag()),
                                      optional("expires_at", nullable(time()))}))}))
      .answers(200, changed());
  OperationDescription(paths, "DELETE", kBranch, "deleteProjectBranch", "Deletes it")
      .query({{"hard_delete", flag()}})
      .answers(200, changed())
      .or_204();
  OperationDescription(paths, "POST", std::string(kBranch) + "/set_as_default",
                       "setDefaultProjectBranch", "Makes it the project's default branch")
      .answers(200, changed());
  OperationDescription(paths, "POST", std::string(kBranch) + "/wal_reader", "grantWalReader",
                       "Of Halogen: libpq's parameters for reading the branch's WAL")
      .answers(200, object({}));
  add_restore(paths);
  add_schema(paths);
}

}  // namespace halogen::control::api::parts
