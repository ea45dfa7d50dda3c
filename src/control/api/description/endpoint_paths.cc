#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

constexpr const char* kEndpoints = "/projects/{project_id}/endpoints";
constexpr const char* kEndpoint = "/projects/{project_id}/endpoints/{endpoint_id}";

json changed() {
  return object(
      {required("endpoint", ref("Endpoint")), required("operations", list(ref("Operation")))});
}

json listed() { return object({required("endpoints", list(ref("Endpoint")))}); }

json wanted(json more) {
  json shape =
      object({optional("settings", ref("EndpointSettings")), optional("provisioner", text()),
              optional("autoscaling_limit_min_cu", number(0.25)),
              optional("autoscaling_limit_max_cu", number(0.25)),
              optional("pooler_enabled", flag()), optional("pooler_mode", choice({"transaction"})),
              optional("disabled", flag()), optional("passwordless_access", flag()),
              optional("suspend_timeout_seconds", whole(-1, 604800)), optional("name", text(64))});
  shape["properties"].update(more["properties"]);
  if (more.contains("required")) shape["required"] = more["required"];
  return object({required("endpoint", std::move(shape))});
}

void add_actions(json& paths) {
  const std::string path = kEndpoint;
  OperationDescription(paths, "POST", path + "/start", "startProjectEndpoint", "Starts its compute")
      .answers(200, changed());
  OperationDescription(paths, "POST", path + "/suspend", "suspendProjectEndpoint",
                       "Suspends its compute; clients keep their connections")
      .answers(200, changed());
  OperationDescription(paths, "POST", path + "/restart", "restartProjectEndpoint",
                       "Suspends its compute and starts it")
      .answers(200, changed());
  OperationDescription(paths, "GET", path + "/metrics", "getEndpointMetrics",
                       "Of Halogen: samples of its compute's past")
      .query({{"from", whole()}, {"to", whole()}})
      .answers(200, object({required("metrics", ref("EndpointMetrics"))}));
  OperationDescription(paths, "GET", path + "/pooler", "getPooler",
                       "Of Halogen: its clients and server connections")
      .query({{"clients", whole(0, 1)}})
      .answers(200, object({required("pooler", ref("Pooler"))}));
  OperationDescription(paths, "DELETE", path + "/pooler/clients/{client_id}", "endClient",
                       "Of Halogen: ends one client's connection")
      .answers(200, object({}));
}

}  // namespace

void add_endpoint_paths(json& paths) {
  OperationDescription(paths, "GET", kEndpoints, "listProjectEndpoints", "The project's endpoints")
      .answers(200, listed());
  OperationDescription(paths, "GET", "/projects/{project_id}/branches/{branch_id}/endpoints",
                       "listProjectBranchEndpoints", "The branch's endpoints")
      .answers(200, listed());
  OperationDescription(paths, "POST", kEndpoints, "createProjectEndpoint",
                       "Gives a branch an endpoint")
      .body(wanted(object({required("branch_id", id()), optional("region_id", text()),
                           required("type", choice({"read_write", "read_only"}))})))
      .answers(201, changed());
  OperationDescription(paths, "GET", kEndpoint, "getProjectEndpoint", "One endpoint")
      .answers(200, object({required("endpoint", ref("Endpoint"))}));
  OperationDescription(paths, "PATCH", kEndpoint, "updateProjectEndpoint", "Changes an endpoint")
      .body(wanted(object({optional("branch_id", id())})))
      .answers(200, changed());
  OperationDescription(paths, "DELETE", kEndpoint, "deleteProjectEndpoint",
                       "Deletes it; its clients' connections end")
      .answers(200, changed())
      .or_204();
  add_actions(paths);
}

}  // namespace halogen::control::api::parts
