// `halogen storage check`: is everything that is stored whole, and does it fit together? `halogen
// storage dump`: what is in it?
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "platform/storage_check.h"

namespace halogen::cli {
namespace {

using nlohmann::json;

void check(const Context& context, bool here_alone) {
  const platform::StorageReport report =
      platform::check_storage(context.layout(), here_alone,
                              [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
  if (context.json) {
    print_json({{"problems", report.problems},
                {"branches", report.branches},
                {"timelines", report.timelines},
                {"layer_files", report.layer_files},
                {"layer_bytes", report.layer_bytes},
                {"layer_files_away", report.layer_files_away},
                {"object_store", report.object_store},
                {"object_store_bytes", report.object_store_bytes}});
  } else {
    for (const std::string& problem : report.problems) fmt::print("{}\n", problem);
    if (!report.object_store.empty())
      fmt::print("{}: {} bytes were read\n", report.object_store, report.object_store_bytes);
    if (report.layer_files_away > 0)
      fmt::print("{} layer files are in the object store alone{}\n", report.layer_files_away,
                 here_alone ? ", which was not read" : "");
    fmt::print("{} branches, {} timelines, {} layer files of {} bytes: {}\n", report.branches,
               report.timelines, report.layer_files, report.layer_bytes,
               report.problems.empty() ? "all is whole"
                                       : fmt::format("{} problems", report.problems.size()));
  }
  if (!report.problems.empty()) throw Exit{kFailed};
}

struct DumpFlags {
  std::string what;
  std::string page;
  std::string lsn;
};

// A layer file by its path; a timeline by its id, or by its folder's path.
void dump(const Context& context, const DumpFlags& flags) {
  platform::dump_storage(context.layout(), flags.what, flags.page, flags.lsn,
                         [](const std::string& line) { fmt::print("{}\n", line); });
}

}  // namespace

void add_storage(CLI::App& app, Context& context) {
  CLI::App* storage = app.add_subcommand("storage", "What is stored");
  storage->require_subcommand(1);
  CLI::App* checked =
      storage->add_subcommand("check",
                              "Read everything that is stored, here and in the object store, and "
                              "say what is damaged or does not fit together; changes "
                              "nothing, and wants the platform down");
  explain(checked, {"halogen storage check"});
  auto here_alone = std::make_shared<bool>(false);
  checked->add_flag("--here-alone", *here_alone, "Not what is in the object store");
  checked->callback([&context, here_alone] { check(context, *here_alone); });
  auto flags = std::make_shared<DumpFlags>();
  CLI::App* dump_command = storage->add_subcommand(
      "dump",
      "Show what layer files have, for people; what is in memory, or only in WAL, is not seen");
  dump_command
      ->add_option("what", flags->what, "A timeline's id (halogen status --json), or a layer file")
      ->required();
  dump_command->add_option("--page", flags->page,
                           "Of a timeline, what makes this page: "
                           "<tablespace>/<database>/<relfilenode>[/<fork>]/<block>");
  dump_command->add_option("--lsn", flags->lsn, "The page as it was here; by default as it is now");
  explain(dump_command,
          {"halogen storage dump 0123456789abcdef0123456789abcdef --page 1663/5/16384/0"});
  dump_command->callback([&context, flags] { dump(context, *flags); });
}

}  // namespace halogen::cli
