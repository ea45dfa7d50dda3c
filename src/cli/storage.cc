// `halogen storage check`: is everything that is stored whole, and does it fit together?
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "platform/storage_check.h"

namespace halogen::cli {
namespace {

using nlohmann::json;

void check(const Context& context) {
  const platform::StorageReport report = platform::check_storage(
      context.layout(), [](const std::string& line) { fmt::print(stderr, "{}\n", line); });
  if (context.json) {
    print_json({{"problems", report.problems},
                {"branches", report.branches},
                {"timelines", report.timelines},
                {"layer_files", report.layer_files},
                {"layer_bytes", report.layer_bytes}});
  } else {
    for (const std::string& problem : report.problems) fmt::print("{}\n", problem);
    fmt::print("{} branches, {} timelines, {} layer files of {} bytes: {}\n", report.branches,
               report.timelines, report.layer_files, report.layer_bytes,
               report.problems.empty() ? "all is whole"
                                       : fmt::format("{} problems", report.problems.size()));
  }
  if (!report.problems.empty()) throw Exit{kFailed};
}

}  // namespace

void add_storage(CLI::App& app, Context& context) {
  CLI::App* storage = app.add_subcommand("storage", "What is stored");
  storage->require_subcommand(1);
  storage
      ->add_subcommand("check",
                       "Read everything that is stored and say what is damaged or does not fit "
                       "together; changes nothing, and wants the platform down")
      ->callback([&context] { check(context); });
}

}  // namespace halogen::cli
