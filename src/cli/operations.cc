// What the platform has done to a project, and does.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/url.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct OperationFlags {
  std::string project;
  std::string id;
  int limit = 20;
};

void print_operations(const json& operations) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "ACTION", "STATUS", "BRANCH", "CREATED", "MS", "ERROR"}};
  for (const json& operation : operations)
    rows.push_back({operation.value("id", ""), operation.value("action", ""),
                    operation.value("status", ""), operation.value("branch_id", ""),
                    operation.value("created_at", ""),
                    std::to_string(operation.value("total_duration_ms", int64_t{0})),
                    operation.value("error", "")});
  print_table(rows);
}

std::string operations_path(const Api& api, const OperationFlags& flags) {
  return "/api/v2/projects/" + find_project(api, flags.project).value("id", "") + "/operations";
}

void list_operations(const Context& context, const OperationFlags& flags) {
  Api api(context);
  json operations =
      api.get(fmt::format("{}?limit={}", operations_path(api, flags), flags.limit))["operations"];
  if (context.json) return print_json(operations);
  print_operations(operations);
}

void get_operation(const Context& context, const OperationFlags& flags) {
  Api api(context);
  json operation = api.get(operations_path(api, flags) + "/" + url_encoded(flags.id))["operation"];
  if (context.json) return print_json(operation);
  print_operations(json::array({operation}));
}

}  // namespace

void add_operations(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("operations", "What was done to a project, and is");
  group->alias("operation");
  group->require_subcommand(1);
  auto flags = std::make_shared<OperationFlags>();
  CLI::App* list = group->add_subcommand("list", "List a project's operations, the newest first");
  add_project_option(list, flags->project);
  list->add_option("--limit", flags->limit, "How many")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  list->callback([&context, flags] { list_operations(context, *flags); });
  explain(list, {"halogen operations list --limit 5"}, "operations list");
  CLI::App* get = group->add_subcommand("get", "Show one operation");
  add_project_option(get, flags->project);
  get->add_option("operation", flags->id, "Its id")->required()->type_name("OPERATION");
  get->callback([&context, flags] { get_operation(context, *flags); });
  explain(get, {"halogen operations get 0f8fad5b-d9cb-469f-a165-70867728950e"});
}

}  // namespace halogen::cli
