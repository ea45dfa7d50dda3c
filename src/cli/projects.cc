#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr const char* kHistoryHelp =
    "Seconds of history that branches and restores can go back to (0 to 2592000; by default "
    "604800, a week)";

struct ProjectFlags {
  std::string name;
  int64_t idle_timeout = 0;
  std::optional<int64_t> history;
};

void create_project(const Context& context, const ProjectFlags& flags) {
  Api api(context);
  json body = {
      {"project",
       {{"name", flags.name},
        {"default_endpoint_settings", {{"suspend_timeout_seconds", flags.idle_timeout}}}}}};
  if (flags.history) body["project"]["history_retention_seconds"] = *flags.history;
  Progress progress("Creating the project");
  json made = api.post("/api/v2/projects", body);
  api.wait_for_operations(made);
  if (context.json) return print_json(made);
  fmt::print(stderr, "Project {} ({}) created.\n", made["project"].value("name", ""),
             made["project"].value("id", ""));
  fmt::print("{}\n", made["connection_uris"][0].value("connection_uri", ""));
}

void print_projects(const json& projects) {
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "POSTGRES", "CREATED"}};
  for (const json& project : projects)
    rows.push_back({project.value("id", ""), project.value("name", ""),
                    std::to_string(project.value("pg_version", 0)),
                    project.value("created_at", "")});
  print_table(rows);
}

void list_projects(const Context& context, bool deleted) {
  Api api(context);
  json projects = deleted ? api.get("/api/v2/projects?limit=400&recoverable=true")["projects"]
                          : all_projects(api);
  if (context.json) return print_json(projects);
  print_projects(projects);
}

void get_project(const Context& context, const std::string& wanted) {
  Api api(context);
  json project = find_project(api, wanted);
  if (context.json)
    return print_json(api.get("/api/v2/projects/" + project.value("id", ""))["project"]);
  print_projects(json::array({project}));
}

struct UpdateFlags {
  std::string project;
  std::string name;
  std::vector<std::string> allowed_ips;
  bool everybody = false;
  std::optional<int64_t> history;
};

void update_project(const Context& context, const UpdateFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json change = json::object();
  if (!flags.name.empty()) change["name"] = flags.name;
  if (flags.everybody || !flags.allowed_ips.empty())
    change["settings"] = {{"allowed_ips", {{"ips", flags.allowed_ips}}}};
  if (flags.history) change["history_retention_seconds"] = *flags.history;
  if (change.empty())
    throw Error(Errc::invalid_argument,
                "nothing to change: give --name, --history, --allow-ip or --allow-all");
  json answer = api.patch("/api/v2/projects/" + project.value("id", ""), {{"project", change}});
  if (context.json) return print_json(answer["project"]);
  fmt::print(stderr, "Project {} ({}) updated.\n", answer["project"].value("name", ""),
             answer["project"].value("id", ""));
}

// By its id also one that waits to be recovered.
json project_to_discard(const Api& api, const std::string& wanted) {
  const json deleted = api.get("/api/v2/projects?limit=400&recoverable=true")["projects"];
  for (const json& project : deleted)
    if (project.value("id", "") == wanted) return project;
  return find_project(api, wanted);
}

void delete_project(const Context& context, const std::string& wanted, bool permanently) {
  Api api(context);
  json project = permanently ? project_to_discard(api, wanted) : find_project(api, wanted);
  Progress progress("Deleting " + project.value("name", ""));
  json answer = api.remove("/api/v2/projects/" + project.value("id", "") +
                           (permanently ? "?hard_delete=true" : ""));
  if (context.json) return print_json(answer["project"]);
  fmt::print(stderr, "Project {} ({}) deleted{}.\n", project.value("name", ""),
             project.value("id", ""),
             permanently ? "" : ". For seven days `halogen projects recover` brings it back");
}

void recover_project(const Context& context, const std::string& id) {
  Api api(context);
  json answer = api.post("/api/v2/projects/" + id + "/recover", json::object());
  if (context.json) return print_json(answer["project"]);
  fmt::print(stderr, "Project {} ({}) is back.\n", answer["project"].value("name", ""), id);
}

}  // namespace

void add_projects(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("projects", "Create, list, change and delete projects");
  group->alias("project");
  group->require_subcommand(1);

  auto flags = std::make_shared<ProjectFlags>();
  CLI::App* create = group->add_subcommand("create",
                                           "Create a project; prints its direct "
                                           "connection string");
  create->add_option("--name", flags->name, "Its name; by default its id");
  create->add_option("--suspend-timeout", flags->idle_timeout,
                     "Seconds without a connection until its compute is suspended (0: default, "
                     "300; -1: never)");
  create->add_option("--history", flags->history, kHistoryHelp);
  explain(create, {"halogen projects create --name shop"}, "projects create --name shop");
  create->callback([&context, flags] { create_project(context, *flags); });

  CLI::App* list = group->add_subcommand("list", "List the projects");
  explain(list, {"halogen projects list"}, "projects list");
  auto deleted = std::make_shared<bool>(false);
  list->add_flag("--deleted", *deleted, "Those that can be recovered instead");
  list->callback([&context, deleted] { list_projects(context, *deleted); });

  auto shown = std::make_shared<std::string>();
  CLI::App* get = group->add_subcommand("get", "Show one project");
  get->add_option("project", *shown, "Its id or name; by default the one in use")
      ->type_name("PROJECT");
  explain(get, {"halogen projects get shop --json"}, "projects get ID");
  get->callback([&context, shown] { get_project(context, *shown); });

  auto update_flags = std::make_shared<UpdateFlags>();
  CLI::App* update = group->add_subcommand(
      "update", "Rename it, say who may connect, or how much history it keeps");
  update->add_option("project", update_flags->project, "Its id or name")
      ->required()
      ->type_name("PROJECT");
  update->add_option("--name", update_flags->name, "Its new name");
  update->add_option("--history", update_flags->history, kHistoryHelp);
  CLI::Option* ips =
      update->add_option("--allow-ip", update_flags->allowed_ips,
                         "Only these may connect: addresses, networks or ranges, in place of those "
                         "before");
  update->add_flag("--allow-all", update_flags->everybody, "Everybody may connect again")
      ->excludes(ips);
  explain(update, {"halogen projects update shop --allow-ip 192.0.2.0/24 --allow-ip ::1"},
          "projects update ID --name shop, ip-allow add 192.0.2.0/24");
  update->callback([&context, update_flags] { update_project(context, *update_flags); });

  auto wanted = std::make_shared<std::string>();
  auto permanently = std::make_shared<bool>(false);
  CLI::App* remove = group->add_subcommand("delete", "Delete a project with all its data");
  remove->add_option("project", *wanted, "Its id or name")->required()->type_name("PROJECT");
  remove->add_flag("--permanently", *permanently, "At once, with no way back");
  explain(remove, {"halogen projects delete shop"}, "projects delete ID");
  remove->callback(
      [&context, wanted, permanently] { delete_project(context, *wanted, *permanently); });

  CLI::App* recover = group->add_subcommand("recover", "Bring a deleted project back");
  recover->add_option("project", *wanted, "Its id, which is in `halogen projects list --deleted`")
      ->required();
  explain(recover, {"halogen projects recover quiet-sea-12345678"}, "projects recover ID");
  recover->callback([&context, wanted] { recover_project(context, *wanted); });
}

}  // namespace halogen::cli
