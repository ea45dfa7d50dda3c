// `halogen use`: the project and the branch that commands in a folder are about.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/target.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct UseFlags : Target {
  bool clear = false;
};

void show_target(const Context& context) {
  const DefaultTarget target = default_target();
  if (context.json) {
    json shown = {{"source", target.source}};
    if (!target.project.empty()) shown["project"] = target.project;
    if (!target.branch.empty()) shown["branch"] = target.branch;
    return print_json(shown);
  }
  if (target.project.empty() && target.branch.empty())
    return fmt::print("No project is in use. Choose one with: halogen use PROJECT [BRANCH]\n");
  print_table({{"PROJECT", "BRANCH", "FROM"},
               {target.project, target.branch.empty() ? "(default)" : target.branch,
                target.source.empty() ? "HALOGEN_BRANCH" : target.source}});
}

void clear_target() {
  const fs::path file = target_file_to_write();
  if (fs::exists(file)) write_target_file(file, {});
  fmt::print(stderr, "No project is in use any more.\n");
}

void use(const Context& context, const UseFlags& flags) {
  if (flags.clear) return clear_target();
  if (flags.project.empty()) return show_target(context);
  Api api(context);
  const json project = find_project(api, flags.project);
  Target target{project.value("id", ""), ""};
  std::string branch_name = "its default branch";
  if (!flags.branch.empty()) {
    const json branch = find_branch(api, project, flags.branch);
    target.branch = branch.value("id", "");
    branch_name = "branch " + branch.value("name", "");
  }
  const fs::path file = target_file_to_write();
  write_target_file(file, target);
  if (std::getenv("HALOGEN_PROJECT") != nullptr)
    fmt::print(stderr, "HALOGEN_PROJECT is set and goes before it.\n");
  if (context.json)
    return print_json(
        {{"project", target.project}, {"branch", target.branch}, {"source", file.string()}});
  fmt::print(stderr, "In use: project {} ({}), {}. Written to {}\n", project.value("name", ""),
             target.project, branch_name, file.string());
}

}  // namespace

void add_use(CLI::App& app, Context& context) {
  auto flags = std::make_shared<UseFlags>();
  CLI::App* command = app.add_subcommand(
      "use",
      "Choose the project and the branch that commands in this folder are about; without "
      "arguments, show them");
  command->alias("set-context");
  command->add_option("project,--project-id", flags->project, "Its id or name")
      ->type_name("PROJECT");
  command->add_option("branch,--branch-id", flags->branch, "Its id or name")->type_name("BRANCH");
  command->add_flag("--clear", flags->clear, "Forget it");
  command->footer(
      "Kept in the nearest .neon file, which neonctl reads too. HALOGEN_PROJECT and\n"
      "HALOGEN_BRANCH go before it, options before both.\n\n"
      "Examples:\n  halogen use shop\n  halogen use shop dev\n\n"
      "neonctl: set-context --project-id ID");
  command->callback([&context, flags] { use(context, *flags); });
}

}  // namespace halogen::cli
