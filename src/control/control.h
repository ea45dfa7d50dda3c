// control.h: the control plane as one object: catalog, endpoints, projects, API, housekeeping.
//
// Construction opens the catalog and binds the API's port; start() begins work and needs storage
// and the compute host to be up; stop() suspends every compute and must come before theirs.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "control/console/files.h"
#include "protocol/compute_host.h"
#include "protocol/endpoints.h"
#include "protocol/isolation.h"
#include "protocol/pageserver_admin.h"
#include "protocol/pooler_status.h"
#include "protocol/safekeeper_admin.h"
#include "protocol/sql_door.h"

namespace halogen::control {

struct Component {
  std::string name;
  std::string state;
  std::string detail;
};

class Control {
 public:
  struct Options {
    std::filesystem::path home;
    std::string http_host = "127.0.0.1";
    int http_port = 8080;  // 0 = any.
    // A socket that listens there already, if there is one.
    std::function<UniqueFd(const std::string& host, int port)> http_listener =
        [](const std::string&, int) { return UniqueFd(); };
    int pg_port = 5432;  // As connection strings name it.
    std::string region = "us-east-1";
    std::filesystem::path key_file;  // Of the catalog's passwords; empty: <home>/catalog.keys.
    bool forget_unreadable_passwords = false;
    bool open_metrics = false;         // /metrics needs no key.
    double requests_per_second = 0;    // That an API key may make; 0: there is no limit.
    std::string domain = "localhost";  // Endpoint hosts are <endpoint>.<region>.<domain>.
    PageserverAdmin& pageserver;
    SafekeeperAdmin& safekeeper;
    ComputeHost& compute;
    IsolationLayers layers{};
    std::shared_ptr<const console::ConsoleFiles> console;  // Null: no page is served.
  };

  explicit Control(Options options);
  ~Control();

  void start();
  void stop();

  Endpoints& endpoints();
  // Whom the API asks about clients. Before start(); outlives stop().
  void set_pooler(Pooler& pooler);
  // Who serves SQL on the API's port. Before start(); outlives stop().
  void set_sql_door(SqlDoor& door);
  int http_port() const;
  // Ways into the console: the secret of a link that works once, and the operator's password.
  std::string sign_in_secret();
  std::string operator_password();

  // What /status tells besides our own: `platform` is a JSON object, `data_directory` where an
  // endpoint's is or would be.
  void describe(std::string platform, std::function<std::vector<Component>()> components,
                std::function<std::string(const std::string& endpoint_id)> data_directory);

  // The direct connection string of the oldest project's default branch; makes the project first if
  // there is none.
  std::string first_connection_string();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace halogen::control
