#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/words.h"

namespace halogen::cli {
namespace {

constexpr const char* kExamples = R"text(Examples:
  halogen up --detach                       start everything, print a connection string
  psql "$(halogen connection-string)"       connect
  halogen use shop                          commands in this folder are about project shop
  halogen branches create --name dev        a branch of the data as it is now
  halogen status --json                     for scripts
  halogen down                              stop; the data stays

Where neonctl has such a command, help says its name there. Completion of words: halogen
completion --help.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not running (status).
Everything is kept below one folder: $HALOGEN_HOME, else /var/lib/halogen for root,
else ~/.local/share/halogen.)text";

}  // namespace

namespace {

void add_commands(CLI::App& app, Context& context) {
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();  // --home and --json may come after the command.
  app.add_option("--home", context.home, "The folder everything is kept below (HALOGEN_HOME)")
      ->type_name("PATH");
  app.add_flag("--json", context.json, "Print JSON");
  app.set_version_flag("--version", "halogen " HALOGEN_VERSION, "Print the version");
  add_up(app, context);
  add_status(app, context);
  add_logs(app, context);
  add_use(app, context);
  add_projects(app, context);
  add_branches(app, context);
  add_snapshots(app, context);
  add_schema_diff(app, context);
  add_roles(app, context);
  add_databases(app, context);
  add_connection(app, context);
  add_endpoints(app, context);
  add_operations(app, context);
  add_metrics(app, context);
  add_usage(app, context);
  add_api_keys(app, context);
  add_members(app, context);
  add_keys(app, context);
  add_storage(app, context);
  add_completion(app, context);
}

}  // namespace

int run(int argc, char** argv) {
  Context context;
  CLI::App app("Halogen: serverless PostgreSQL", "halogen");
  add_commands(app, context);
  std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (!words.empty() && words[0] == "__complete") {
    complete(app, {words.begin() + 1, words.end()});
    return kOk;
  }
  try {
    if (std::string wrong = complaint(app, words); !wrong.empty()) {
      fmt::print(stderr, "halogen: {}\n", wrong);
      return kUsage;
    }
    app.parse(argc, argv);
    return kOk;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  } catch (const Exit& exit) {
    return exit.code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "halogen: {}\n", error.what());
    return kFailed;
  }
}

}  // namespace halogen::cli
