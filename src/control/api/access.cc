// What an operator needs to go past the proxy, for looking into a compute and for tests. Secrets of
// one start: they are worth nothing once the compute is suspended.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "control/api/shapes.h"
#include "protocol/login_secret.h"

namespace halogen::control::api {

// libpq's parameters for the running compute's own socket.
Response get_login(Services& services, const Request& request) {
  const std::string& endpoint = request.at("endpoint_id");
  for (const ComputeProcess& process : services.host.processes())
    if (process.endpoint_id == endpoint)
      return json_response(200, {{"host", process.socket_folder},
                                 {"port", "5432"},
                                 {"user", "cloud_admin"},
                                 {"options", with_login_secret(process.login_secret)}});
  throw Error(Errc::not_found, "the compute of {} is not running", endpoint);
}

// libpq's parameters for the branch's WAL, as pg_receivewal takes them. For an hour.
Response grant_wal(Services& services, const Request& request) {
  TimelineId timeline = path_branch(services, request).timeline;
  SafekeeperAdmin& safekeeper = services.safekeeper;
  return json_response(200,
                       {{"host", safekeeper.wal_host()},
                        {"port", std::to_string(safekeeper.wal_port())},
                        {"user", timeline.str()},
                        {"password", safekeeper.grant_wal(timeline, WalConsumer::tool).str()}});
}

}  // namespace halogen::control::api
