// context.h: what every command shares: the home, the output's form, and the way to the platform.
#pragma once
#include <fmt/core.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/target.h"
#include "platform/home.h"

namespace CLI {
class App;
}

namespace halogen::cli {

enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kNotRunning = 3 };

// Thrown by a command to end with this code after it has said all there is to say.
struct Exit {
  int code;
};

struct Context {
  bool json = false;
  std::string home;  // Empty: platform::default_home().

  platform::Layout layout() const;
};

// The platform's HTTP API, with the operator's key. Every call throws Error: with the server's
// message, or unavailable.
class Api {
 public:
  // Finds the running platform of the home.
  explicit Api(const Context& context);

  nlohmann::json get(const std::string& path) const;
  std::string get_text(const std::string& path) const;
  nlohmann::json post(const std::string& path, const nlohmann::json& body) const;
  nlohmann::json patch(const std::string& path, const nlohmann::json& body) const;
  nlohmann::json put(const std::string& path, const nlohmann::json& body) const;
  nlohmann::json remove(const std::string& path) const;
  // Polls until all that an answer began is over, and says so if that takes long; throws what one
  // failed with.
  void wait_for_operations(const nlohmann::json& answer) const;

  const platform::Description& platform() const { return platform_; }

 private:
  void wait_for(const nlohmann::json& operation) const;

  platform::Description platform_;
  std::string key_;
};

nlohmann::json all_projects(const Api& api);
std::string organization_path(const Api& api);  // Of the one there is.
// By id or by name. Empty: what is in use (default_target()), else the only one there is, or for a
// branch the default one. Errors list what there is to choose from.
nlohmann::json find_project(const Api& api, const std::string& wanted);
nlohmann::json find_branch(const Api& api, const nlohmann::json& project,
                           const std::string& wanted);
nlohmann::json find_endpoint(const Api& api, const nlohmann::json& branch);

// What help ends with: examples, one a line, and what the command is called by neonctl, if it has
// one.
void explain(CLI::App* command, const std::vector<std::string>& examples,
             const std::string& neonctl = "");

// Columns as wide as their widest cell; the first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows);
void print_json(const nlohmann::json& value);

// Each adds its commands to the program.
void add_up(CLI::App& app, Context& context);          // up
void add_status(CLI::App& app, Context& context);      // status, down
void add_logs(CLI::App& app, Context& context);        // logs
void add_use(CLI::App& app, Context& context);         // use
void add_projects(CLI::App& app, Context& context);    // projects create|list|get|update|delete
void add_branches(CLI::App& app, Context& context);    // branches create|list|...
void add_roles(CLI::App& app, Context& context);       // roles list|create|reset-password|delete
void add_databases(CLI::App& app, Context& context);   // databases list|create|delete
void add_endpoints(CLI::App& app, Context& context);   // endpoints, suspend, wake, outgoing-traffic
void add_operations(CLI::App& app, Context& context);  // operations list|get
void add_connection(CLI::App& app, Context& context);  // connection-string, psql, console, ...
void add_metrics(CLI::App& app, Context& context);     // metrics
void add_usage(CLI::App& app, Context& context);       // usage
void add_keys(CLI::App& app, Context& context);        // keys list|rotate|drop-older
void add_api_keys(CLI::App& app, Context& context);    // api-keys list|create|revoke
void add_members(CLI::App& app, Context& context);     // members list|invite|role|remove|...
void add_snapshots(CLI::App& app, Context& context);   // snapshots create|list|restore|...
void add_schema_diff(CLI::App& app, Context& context);  // schema-diff
void add_storage(CLI::App& app, Context& context);      // storage check
void add_completion(CLI::App& app, Context& context);   // completion

// Prints the words that can be in the place of the last one, each with a tab and what it is.
void complete(CLI::App& app, std::vector<std::string> words);

// Parses and runs; the program's exit code.
int run(int argc, char** argv);

}  // namespace halogen::cli
