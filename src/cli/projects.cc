#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct ProjectFlags {
  std::string name;
  int64_t idle_timeout = 0;
};

void create_project(const Context& context, const ProjectFlags& flags) {
  Api api(context);
  json body = {
      {"project",
       {{"name", flags.name},
        {"default_endpoint_settings", {{"suspend_timeout_seconds", flags.idle_timeout}}}}}};
  json made = api.post("/api/v2/projects", body);
  if (context.json) return print_json(made);
  fmt::print(stderr, "Project {} ({}) created.\n", made["project"].value("name", ""),
             made["project"].value("id", ""));
  fmt::print("{}\n", made["connection_uris"][0].value("connection_uri", ""));
}

void list_projects(const Context& context) {
  Api api(context);
  json projects = api.get("/api/v2/projects?limit=400")["projects"];
  if (context.json) return print_json(projects);
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "POSTGRES", "CREATED"}};
  for (const json& project : projects)
    rows.push_back({project.value("id", ""), project.value("name", ""),
                    std::to_string(project.value("pg_version", 0)),
                    project.value("created_at", "")});
  print_table(rows);
}

void delete_project(const Context& context, const std::string& wanted) {
  Api api(context);
  json project = find_project(api, wanted);
  json answer = api.remove("/api/v2/projects/" + project.value("id", ""));
  if (context.json) return print_json(answer["project"]);
  fmt::print(stderr, "Project {} ({}) deleted.\n", project.value("name", ""),
             project.value("id", ""));
}

}  // namespace

void add_projects(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("projects", "Create, list and delete projects");
  group->require_subcommand(1);

  auto flags = std::make_shared<ProjectFlags>();
  CLI::App* create = group->add_subcommand("create",
                                           "Create a project; prints its direct "
                                           "connection string");
  create->add_option("--name", flags->name, "Its name; by default its id");
  create->add_option("--suspend-timeout", flags->idle_timeout,
                     "Seconds without a connection until its compute is suspended (0: default, "
                     "300; -1: never)");
  create->footer("Example:\n  halogen projects create --name shop");
  create->callback([&context, flags] { create_project(context, *flags); });

  CLI::App* list = group->add_subcommand("list", "List the projects");
  list->callback([&context] { list_projects(context); });

  auto wanted = std::make_shared<std::string>();
  CLI::App* remove = group->add_subcommand("delete", "Delete a project with all its data");
  remove->add_option("project", *wanted, "Its id or name")->required();
  remove->footer("Example:\n  halogen projects delete shop");
  remove->callback([&context, wanted] { delete_project(context, *wanted); });
}

}  // namespace halogen::cli
