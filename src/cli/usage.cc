// What a project's branches have used since the beginning of the month.
#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr std::array kFields{"active_time_seconds", "compute_time_seconds", "written_data_bytes",
                             "data_transfer_bytes"};

std::vector<std::string> row_of(const std::string& id, const std::string& name,
                                const json& object) {
  std::vector<std::string> row = {id, name};
  for (const char* field : kFields) row.push_back(std::to_string(object.value(field, int64_t{0})));
  return row;
}

json used(const json& object) {
  json shape = {{"id", object.value("id", "")}, {"name", object.value("name", "")}};
  for (const char* field : kFields) shape[field] = object.value(field, int64_t{0});
  if (object.contains("data_storage_bytes_hour"))
    shape["data_storage_bytes_hour"] = object["data_storage_bytes_hour"];
  return shape;
}

void show_usage(const Context& context, const std::string& wanted) {
  Api api(context);
  const std::string path = "/api/v2/projects/" + find_project(api, wanted).value("id", "");
  const json project = api.get(path)["project"];
  const json branches = api.get(path + "/branches")["branches"];
  if (context.json) {
    json shape = used(project);
    for (const json& branch : branches) shape["branches"].push_back(used(branch));
    return print_json(shape);
  }
  std::vector<std::vector<std::string>> rows = {
      {"ID", "NAME", "ACTIVE S", "COMPUTE S", "WRITTEN B", "TRANSFER B"}};
  for (const json& branch : branches)
    rows.push_back(row_of(branch.value("id", ""), branch.value("name", ""), branch));
  rows.push_back(row_of("project", project.value("name", ""), project));
  print_table(rows);
  fmt::print("Since {}. Storage: {} byte-hours.\n", project.value("consumption_period_start", ""),
             project.value("data_storage_bytes_hour", int64_t{0}));
}

}  // namespace

void add_usage(CLI::App& app, Context& context) {
  auto project = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "usage", "Show what a project's branches have used since the beginning of the month");
  add_project_option(command, *project);
  command->callback([&context, project] { show_usage(context, *project); });
  explain(command, {"halogen usage --json"});
}

}  // namespace halogen::cli
