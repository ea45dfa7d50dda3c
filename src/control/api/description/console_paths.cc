// What the console asks for beside Neon's API: routes of our own.
#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

json compute_state() { return choice({"idle", "starting", "active", "suspending"}); }

json overview() {
  return object({required("project_id", id()), required("branches", whole()),
                 required("computes", map_of(whole())), required("logical_bytes", whole()),
                 required("own_bytes", whole()), optional("last_active_at", time())});
}

json project_overview() {
  json branch = object({required("branch_id", id()), optional("last_record_lsn", text()),
                        optional("logical_bytes", whole()), optional("own_bytes", whole()),
                        optional("history_bytes", whole()), optional("shared_bytes", whole())});
  json compute =
      object({required("endpoint_id", id()), required("branch_id", id()),
              required("state", compute_state()),
              required("keeps_awake", described(text(), "Why it is not suspended; or empty")),
              optional("problem", text()), optional("started_at", time()),
              optional("suspended_at", time())});
  return object({required("branches", list(branch)), required("computes", list(compute))});
}

json metrics() {
  return object({required("endpoint_id", id()), required("from", whole()), required("to", whole()),
                 required("times", list(whole())), required("seconds", list(whole())),
                 required("series", map_of(list(whole())))});
}

json pooler_client() {
  return object({required("id", text()), required("database", text()), required("role", text()),
                 required("mode", text()), required("state", text()), required("pinned_by", text()),
                 required("address", text()), required("port", whole()),
                 required("application_name", text()), required("connected_at", time()),
                 required("last_request_at", time()), required("waited_us", whole()),
                 required("server_pid", whole()), required("queries", whole()),
                 required("transactions", whole())});
}

json pooler() {
  json servers =
      object({required("used", whole()), required("idle", whole()), required("opening", whole())});
  json pool = object({required("database", text()), required("role", text()),
                      required("mode", text()), required("clients", map_of(whole())),
                      required("pinned_by", map_of(whole())), required("servers", servers),
                      required("size", whole()), required("longest_wait_us", whole())});
  json totals = object({required("database", text()), required("queries", whole()),
                        required("transactions", whole()), required("bytes_received", whole()),
                        required("bytes_sent", whole()), required("request_time_us", whole()),
                        required("wait_time_us", whole())});
  return object({required("endpoint_id", id()), required("clients", map_of(whole())),
                 required("pinned_by", map_of(whole())), required("pools", list(pool)),
                 required("totals", list(totals)), required("wakes", whole()),
                 optional("client_list", list(ref("PoolerClient")))});
}

void add_session(json& paths, const std::string& path) {
  json signed_in = object({required("signed_in", flag())});
  OperationDescription(paths, "GET", path, "getConsoleSession",
                       "Whether this browser is signed in at the console")
      .answers(200, signed_in);
  OperationDescription(paths, "POST", path, "createConsoleSession", "Signs in at the console")
      .body(object(
          {optional("api_key", text()), optional("password", text()), optional("link", text())}))
      .answers(201, signed_in);
  OperationDescription(paths, "DELETE", path, "deleteConsoleSession", "Signs out")
      .answers(200, signed_in);
}

}  // namespace

json console_components() {
  return {{"ConsoleOverview", overview()},
          {"ProjectOverview", project_overview()},
          {"EndpointMetrics", metrics()},
          {"PoolerClient", pooler_client()},
          {"Pooler", pooler()}};
}

void add_console_paths(json& paths) {
  const std::string path = "/console";
  add_session(paths, path + "/session");
  OperationDescription(paths, "POST", path + "/sign_in_links", "createSignInLink",
                       "A link that signs in once")
      .answers(201, object({required("url", text())}));
  OperationDescription(paths, "GET", path + "/overview", "getConsoleOverview",
                       "What the console's list of projects shows")
      .answers(200, object({required("projects", list(ref("ConsoleOverview")))}));
  OperationDescription(paths, "GET", path + "/branches", "getConsoleBranches",
                       "The branches of all projects, by name")
      .answers(
          200,
          object({required("branches", list(object({required("id", id()), required("name", text()),
                                                    required("project_id", id())})))}));
  OperationDescription(paths, "GET", path + "/platform", "getPlatform", "The platform's state")
      .answers(200, object({}));
}

}  // namespace halogen::control::api::parts
