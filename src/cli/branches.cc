#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct BranchFlags {
  std::string project;
  std::string parent;
  std::string name;
  int64_t idle_timeout = 0;
};

std::string branches_path(const json& project) {
  return "/api/v2/projects/" + project.at("id").get<std::string>() + "/branches";
}

void create_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json parent = find_branch(api, project, flags.parent);
  json body = {
      {"branch", {{"name", flags.name}, {"parent_id", parent["id"]}}},
      {"endpoints", {{{"type", "read_write"}, {"suspend_timeout_seconds", flags.idle_timeout}}}}};
  json made = api.post(branches_path(project), body);
  if (context.json) return print_json(made);
  fmt::print(stderr, "Branch {} ({}) created from {} at {}.\n", made["branch"].value("name", ""),
             made["branch"].value("id", ""), parent.value("name", ""),
             made["branch"].value("parent_lsn", ""));
  for (const json& uri : made["connection_uris"])
    fmt::print("{}\n", uri.value("connection_uri", ""));
}

void list_branches(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branches = api.get(branches_path(project))["branches"];
  if (context.json) return print_json(branches);
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "DEFAULT", "PARENT", "AT"}};
  for (const json& branch : branches)
    rows.push_back({branch.value("id", ""), branch.value("name", ""),
                    branch.value("default", false) ? "yes" : "", branch.value("parent_id", ""),
                    branch.value("parent_lsn", "")});
  print_table(rows);
}

void delete_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  json answer = api.remove(branches_path(project) + "/" + branch.value("id", ""));
  if (context.json) return print_json(answer["branch"]);
  fmt::print(stderr, "Branch {} ({}) deleted.\n", branch.value("name", ""), branch.value("id", ""));
}

}  // namespace

void add_branches(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("branches", "Create, list and delete branches");
  group->require_subcommand(1);
  auto flags = std::make_shared<BranchFlags>();

  CLI::App* create = group->add_subcommand("create",
                                           "Branch at the head of a parent: it sees the parent's "
                                           "data as of now; nothing is copied");
  create->add_option("--project", flags->project, "Id or name; not needed if there is only one");
  create->add_option("--parent", flags->parent, "Id or name; by default the default branch");
  create->add_option("--name", flags->name, "Its name; by default its id");
  create->add_option("--suspend-timeout", flags->idle_timeout,
                     "Seconds without a connection until its compute is suspended (0: default, "
                     "300; -1: never)");
  create->footer("Example:\n  halogen branches create --name dev");
  create->callback([&context, flags] { create_branch(context, *flags); });

  CLI::App* list = group->add_subcommand("list", "List a project's branches");
  list->add_option("--project", flags->project, "Id or name; not needed if there is only one");
  list->callback([&context, flags] { list_branches(context, *flags); });

  CLI::App* remove = group->add_subcommand("delete", "Delete a branch that has no children");
  remove->add_option("--project", flags->project, "Id or name; not needed if there is only one");
  remove->add_option("branch", flags->name, "Its id or name")->required();
  remove->callback([&context, flags] { delete_branch(context, *flags); });
}

}  // namespace halogen::cli
