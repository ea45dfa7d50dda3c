#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

constexpr const char* kBranch = "/projects/{project_id}/branches/{branch_id}";
constexpr const char* kSnapshots = "/projects/{project_id}/snapshots";
constexpr const char* kSnapshot = "/projects/{project_id}/snapshots/{snapshot_id}";

json snapshot() {
  return object({required("id", id()), required("name", text()), optional("lsn", text()),
                 optional("timestamp", time()), optional("source_branch_id", id()),
                 required("created_at", time()), optional("expires_at", time()),
                 optional("manual", flag())});
}

json operations() { return list(ref("Operation")); }

json schedule() {
  return object({required(
      "schedule", list(object({required("frequency",
                                        choice({"hourly", "daily", "weekly", "monthly", "yearly"})),
                               optional("hour", whole(0, 23)), optional("day", whole(1, 31)),
                               optional("month", whole(1, 12)),
                               optional("retention_seconds", whole(3600, INT64_MAX))}),
                       32))});
}

void add_restore(json& paths) {
  OperationDescription(paths, "POST", std::string(kSnapshot) + "/restore", "restoreSnapshot",
                       "Makes a branch of a snapshot, to take another branch's place")
      .query({{"name", text()}})
      .body(object({optional("name", text(256)), optional("target_branch_id", id()),
                    optional("finalize_restore", flag())}),
            false)
      .answers(200, object({required("branch", ref("Branch")),
                            optional("endpoints", list(ref("Endpoint"))),
                            required("operations", operations())}));
  OperationDescription(paths, "POST", std::string(kBranch) + "/finalize_restore",
                       "finalizeRestoreBranch",
                       "Lets a branch that was made of a snapshot take the other's place")
      .body(object({optional("name", text(256))}), false)
      .answers(200, object({required("operations", operations())}));
}

}  // namespace

void add_snapshot_paths(json& paths) {
  OperationDescription(paths, "POST", std::string(kBranch) + "/snapshot", "createSnapshot",
                       "Takes a snapshot, now or of a moment of the past")
      .query({{"lsn", text()}, {"timestamp", time()}, {"name", text(256)}, {"expires_at", time()}})
      .answers(200,
               object({required("snapshot", snapshot()), required("operations", operations())}));
  OperationDescription(paths, "GET", kSnapshots, "listSnapshots", "The project's snapshots")
      .answers(200, object({required("snapshots", list(snapshot()))}));
  OperationDescription(paths, "PATCH", kSnapshot, "updateSnapshot", "Renames a snapshot")
      .body(object({required("snapshot", object({optional("name", text(256))}))}))
      .answers(200, object({required("snapshot", snapshot())}));
  OperationDescription(paths, "DELETE", kSnapshot, "deleteSnapshot", "Deletes a snapshot")
      .answers(202, object({required("operations", operations())}));
  add_restore(paths);
  OperationDescription(paths, "GET", std::string(kBranch) + "/backup_schedule",
                       "getSnapshotSchedule", "When snapshots of the branch are taken")
      .answers(200, schedule());
  OperationDescription(paths, "PUT", std::string(kBranch) + "/backup_schedule",
                       "setSnapshotSchedule", "Says when snapshots of the branch are taken")
      .body(schedule())
      .answers(200, object({}));
}

}  // namespace halogen::control::api::parts
