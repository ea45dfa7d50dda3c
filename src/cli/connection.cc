#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct ConnectionFlags {
  std::string project;
  std::string branch;
  std::string database = "neondb";
  std::string role = "neondb_owner";
  bool pooled = false;
  std::vector<std::string> arguments;  // For psql.
};

std::string connection_uri(const Api& api, const ConnectionFlags& flags) {
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.branch);
  return api.get("/api/v2/projects/" + project.value("id", "") +
                 "/connection_uri?branch_id=" + branch.value("id", "") +
                 "&database_name=" + flags.database + "&role_name=" + flags.role +
                 "&pooled=" + (flags.pooled ? "true" : "false"))["uri"];
}

bool has_password(const std::string& uri) {
  size_t user = uri.find("//") + 2;
  size_t at = uri.find('@', user);
  return at != std::string::npos && uri.substr(user, at - user).find(':') != std::string::npos;
}

void print_connection_string(const Context& context, const ConnectionFlags& flags) {
  Api api(context);
  std::string uri = connection_uri(api, flags);
  if (!has_password(uri))
    fmt::print(stderr,
               "The password of {} is not in it: it was set or changed by SQL, so only you know it "
               "(psql asks for it, or takes PGPASSWORD).\n",
               flags.role);
  if (context.json)
    print_json({{"uri", uri}, {"ca_file", api.platform().ca_file}});
  else
    fmt::print("{}\n", uri);
}

[[noreturn]] void run_psql(const Context& context, const ConnectionFlags& flags) {
  std::string uri = connection_uri(Api(context), flags);
  std::vector<std::string> words = {"psql", uri};
  words.insert(words.end(), flags.arguments.begin(), flags.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp("psql", argv.data());
  throw Error(Errc::unavailable,
              "cannot run psql: {}. Install it with: sudo apt-get install postgresql-client-15",
              std::strerror(errno));
}

void add_target(CLI::App* command, const std::shared_ptr<ConnectionFlags>& flags) {
  command->add_option("--project", flags->project, "Id or name; not needed if there is only one");
  command->add_option("--branch", flags->branch, "Id or name; by default the default branch");
  command->add_option("--database", flags->database, "Database")->capture_default_str();
  command->add_option("--role", flags->role, "Role")->capture_default_str();
  command->add_flag("--pooled", flags->pooled, "Through the pooler");
}

}  // namespace

void add_connection(CLI::App& app, Context& context) {
  auto flags = std::make_shared<ConnectionFlags>();
  CLI::App* string = app.add_subcommand("connection-string", "Print a branch's connection string");
  add_target(string, flags);
  string->footer("Example:\n  psql \"$(halogen connection-string --branch dev)\"");
  string->callback([&context, flags] { print_connection_string(context, *flags); });

  CLI::App* psql = app.add_subcommand("psql", "Open psql on a branch");
  add_target(psql, flags);
  psql->add_option("arguments", flags->arguments, "After --: passed to psql");
  psql->footer("Example:\n  halogen psql -- -c 'SELECT version()'");
  psql->callback([&context, flags] { run_psql(context, *flags); });
}

}  // namespace halogen::cli
