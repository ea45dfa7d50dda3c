#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/url.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct ConnectionFlags : Target {
  std::string database;
  std::string role;
  bool pooled = false;
  std::vector<std::string> arguments;  // For psql.
};

std::string connection_uri(const Api& api, const ConnectionFlags& flags) {
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.branch);
  return api.get("/api/v2/projects/" + project.value("id", "") + "/connection_uri?branch_id=" +
                 branch.value("id", "") + "&database_name=" + url_encoded(flags.database) +
                 "&role_name=" + url_encoded(flags.role) +
                 "&pooled=" + (flags.pooled ? "true" : "false"))["uri"];
}

// A connection string in two parts: what all may see, and the password, empty if it has none.
struct SplitUri {
  std::string shown;
  std::string role;
  std::string password;
  std::string host;
  std::string port = "5432";
};

// Requires: as control makes them, postgresql://role[:password]@host[:port]/database?...
SplitUri split_uri(const std::string& uri) {
  SplitUri split;
  size_t user = uri.find("//") + 2;
  size_t at = uri.find('@', user);
  size_t colon = std::min(uri.find(':', user), at);
  split.role = url_decoded(uri.substr(user, colon - user));
  if (colon < at) split.password = url_decoded(uri.substr(colon + 1, at - colon - 1));
  split.shown = uri.substr(0, colon) + uri.substr(at);
  size_t end = std::min(uri.find('/', at), uri.size());
  split.host = uri.substr(at + 1, end - at - 1);
  if (size_t port = split.host.find(':'); port != std::string::npos) {
    split.port = split.host.substr(port + 1);
    split.host.resize(port);
  }
  return split;
}

void print_connection_string(const Context& context, const ConnectionFlags& flags) {
  Api api(context);
  std::string uri = connection_uri(api, flags);
  const SplitUri split = split_uri(uri);
  if (split.password.empty())
    fmt::print(stderr,
               "The password of {} is not in it: it was set or changed by SQL, so only you know it "
               "(psql asks for it, or takes PGPASSWORD).\n",
               split.role);
  if (context.json)
    print_json({{"uri", uri}, {"ca_file", api.platform().ca_file}});
  else
    fmt::print("{}\n", uri);
}

// Field by field, with ':' and '\\' escaped.
std::string passfile_line(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty()) line += ':';
    for (char c : field) {
      if (c == ':' || c == '\\') line += '\\';
      line += c;
    }
  }
  return line + "\n";
}

// A password in the arguments or the environment would be there for all to see. libpq reads it from
// a file that is in memory only and goes with the program.
void hand_over_password(const SplitUri& uri) {
  int fd = ::memfd_create("passfile", 0);
  if (fd < 0 || ::fchmod(fd, 0600) != 0) throw system_error(errno, "memfd_create");
  write_all(fd, as_bytes(passfile_line({uri.host, uri.port, "*", uri.role, uri.password})));
  ::setenv("PGPASSFILE", fmt::format("/proc/self/fd/{}", fd).c_str(), 1);
}

// For the environment: the words of a command can be seen by everybody.
void print_wal_reader(const Context& context, const ConnectionFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.branch);
  json reader = api.post("/api/v2/projects/" + project.value("id", "") + "/branches/" +
                             branch.value("id", "") + "/wal_reader",
                         json::object());
  if (context.json) return print_json(reader);
  for (const auto& [variable, key] : {std::pair("PGHOST", "host"),
                                      {"PGPORT", "port"},
                                      {"PGUSER", "user"},
                                      {"PGPASSWORD", "password"}})
    fmt::print("{}={}\n", variable, reader.value(key, ""));
}

[[noreturn]] void run_psql(const Context& context, const ConnectionFlags& flags) {
  SplitUri uri = split_uri(connection_uri(Api(context), flags));
  if (!uri.password.empty()) hand_over_password(uri);
  std::vector<std::string> words = {"psql", uri.shown};
  words.insert(words.end(), flags.arguments.begin(), flags.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execvp("psql", argv.data());
  throw Error(Errc::unavailable,
              "cannot run psql: {}. Install it with: sudo apt-get install postgresql-client-15",
              std::strerror(errno));
}

void add_connection_options(CLI::App* command, const std::shared_ptr<ConnectionFlags>& flags) {
  add_target_options(command, *flags);
  command
      ->add_option("--database,--database-name", flags->database,
                   "By default neondb, or the branch's first")
      ->type_name("DATABASE");
  command
      ->add_option("--role,--role-name", flags->role,
                   "By default neondb_owner, or the branch's first")
      ->type_name("ROLE");
  command->add_flag("--pooled", flags->pooled, "Through the pooler");
}

}  // namespace

namespace {

void print_console_link(const Context& context) {
  json link = Api(context).post("/api/v2/console/sign_in_links", json::object());
  if (context.json) return print_json(link);
  fmt::print("{}\n", link.value("url", ""));
}

}  // namespace

void add_connection(CLI::App& app, Context& context) {
  auto flags = std::make_shared<ConnectionFlags>();
  CLI::App* string = app.add_subcommand("connection-string", "Print a branch's connection string");
  string->alias("cs");
  add_connection_options(string, flags);
  explain(string, {"psql \"$(halogen connection-string --branch dev)\""},
          "connection-string dev [--pooled]");
  string->callback([&context, flags] { print_connection_string(context, *flags); });

  CLI::App* reader = app.add_subcommand("wal-reader", "Let pg_receivewal read a branch's WAL");
  add_target_options(reader, *flags);
  reader->footer(
      "Prints the environment it needs, good for an hour. Example:\n"
      "  export $(halogen wal-reader --branch dev)\n  pg_receivewal -D /backup/dev");
  reader->callback([&context, flags] { print_wal_reader(context, *flags); });

  CLI::App* console = app.add_subcommand("console", "Print a link that signs in at the console");
  console->footer("It works once, within an hour. Example:\n  xdg-open \"$(halogen console)\"");
  console->callback([&context] { print_console_link(context); });

  CLI::App* psql = app.add_subcommand("psql", "Open psql on a branch");
  add_connection_options(psql, flags);
  psql->add_option("arguments", flags->arguments, "After --: passed to psql");
  explain(psql, {"halogen psql", "halogen psql --branch dev -- -c 'SELECT version()'"},
          "psql dev -- -c 'SELECT version()'");
  psql->callback([&context, flags] { run_psql(context, *flags); });
}

}  // namespace halogen::cli
