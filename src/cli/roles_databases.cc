#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/url.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct Flags : Target {
  std::string name;
  std::string owner;
  bool no_login = false;
};

// Where a branch has its roles or its databases.
std::string path_of(const Api& api, const Flags& flags, const std::string& kind) {
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.branch);
  return "/api/v2/projects/" + project.value("id", "") + "/branches/" + branch.value("id", "") +
         "/" + kind;
}

void tell_password(const json& role) {
  if (role.contains("password")) fmt::print("{}\n", role["password"].get<std::string>());
}

void list_roles(const Context& context, const Flags& flags) {
  Api api(context);
  json roles = api.get(path_of(api, flags, "roles"))["roles"];
  if (context.json) return print_json(roles);
  std::vector<std::vector<std::string>> rows = {{"NAME", "LOGIN"}};
  for (const json& role : roles)
    rows.push_back({role.value("name", ""),
                    role.value("authentication_method", "") == "no_login" ? "no" : "yes"});
  print_table(rows);
}

void create_role(const Context& context, const Flags& flags) {
  Api api(context);
  json body = {{"role", {{"name", flags.name}, {"no_login", flags.no_login}}}};
  json made = api.post(path_of(api, flags, "roles"), body);
  api.wait_for_operations(made);
  json role = made["role"];
  if (context.json) return print_json(role);
  fmt::print(stderr, "Role {} created{}\n", flags.name, flags.no_login ? "." : "; its password:");
  tell_password(role);
}

void reset_password(const Context& context, const Flags& flags) {
  Api api(context);
  std::string path =
      path_of(api, flags, "roles") + "/" + url_encoded(flags.name) + "/reset_password";
  json changed = api.post(path, json::object());
  api.wait_for_operations(changed);
  json role = changed["role"];
  if (context.json) return print_json(role);
  fmt::print(stderr, "The new password of {}:\n", flags.name);
  tell_password(role);
}

void list_databases(const Context& context, const Flags& flags) {
  Api api(context);
  json databases = api.get(path_of(api, flags, "databases"))["databases"];
  if (context.json) return print_json(databases);
  std::vector<std::vector<std::string>> rows = {{"NAME", "OWNER"}};
  for (const json& database : databases)
    rows.push_back({database.value("name", ""), database.value("owner_name", "")});
  print_table(rows);
}

void create_database(const Context& context, const Flags& flags) {
  Api api(context);
  json body = {{"database", {{"name", flags.name}, {"owner_name", flags.owner}}}};
  json made = api.post(path_of(api, flags, "databases"), body);
  api.wait_for_operations(made);
  json database = made["database"];
  if (context.json) return print_json(database);
  fmt::print(stderr, "Database {} created, owned by {}.\n", flags.name, flags.owner);
}

// Of a role or a database.
void delete_one(const Context& context, const Flags& flags, const std::string& kind) {
  Api api(context);
  json answer = api.remove(path_of(api, flags, kind + "s") + "/" + url_encoded(flags.name));
  if (!answer.contains(kind)) throw Error(Errc::not_found, "{} not found", kind);
  api.wait_for_operations(answer);
  if (context.json) return print_json(answer[kind]);
  fmt::print(stderr, "Deleted {} {}.\n", kind, flags.name);
}

using Command = std::function<void(const Context&, const Flags&)>;

CLI::App* add_command(CLI::App* group, Context& context, const std::shared_ptr<Flags>& flags,
                      const char* name, const char* help, Command command) {
  CLI::App* added = group->add_subcommand(name, help);
  add_target_options(added, *flags);
  added->callback([&context, flags, command = std::move(command)] { command(context, *flags); });
  return added;
}

CLI::App* add_group(CLI::App& app, const char* name, const char* alias, const char* help) {
  CLI::App* group = app.add_subcommand(name, help);
  group->alias(alias);
  group->require_subcommand(1);
  return group;
}

}  // namespace

void add_roles(CLI::App& app, Context& context) {
  CLI::App* group = add_group(app, "roles", "role", "Create, list and delete a branch's roles");
  auto flags = std::make_shared<Flags>();
  explain(add_command(group, context, flags, "list", "List the branch's roles", list_roles),
          {"halogen roles list"}, "roles list");
  CLI::App* create =
      add_command(group, context, flags, "create",
                  "Create a role like neondb_owner; prints its password", create_role);
  create->add_option("name,--name", flags->name, "Its name")->required();
  create->add_flag("--no-login", flags->no_login, "A group: nobody logs in as it");
  explain(create, {"halogen roles create app"}, "roles create --name app");
  CLI::App* reset = add_command(group, context, flags, "reset-password",
                                "Give a role a new password; prints it", reset_password);
  reset->add_option("name", flags->name, "Its name")->required()->type_name("ROLE");
  explain(reset, {"halogen roles reset-password app"});
  CLI::App* remove = add_command(
      group, context, flags, "delete", "Delete a role; what it owns goes to its database's owner",
      [](const Context& given, const Flags& of) { delete_one(given, of, "role"); });
  remove->add_option("name", flags->name, "Its name")->required()->type_name("ROLE");
  explain(remove, {"halogen roles delete app"}, "roles delete app");
}

void add_databases(CLI::App& app, Context& context) {
  CLI::App* group =
      add_group(app, "databases", "database", "Create, list and delete a branch's databases");
  group->alias("db");
  auto flags = std::make_shared<Flags>();
  explain(add_command(group, context, flags, "list", "List the branch's databases", list_databases),
          {"halogen databases list"}, "databases list");
  CLI::App* create =
      add_command(group, context, flags, "create", "Create an empty database", create_database);
  create->add_option("name,--name", flags->name, "Its name")->required();
  create->add_option("--owner,--owner-name", flags->owner, "A role of the branch")
      ->type_name("ROLE")
      ->default_val("neondb_owner")
      ->capture_default_str();
  explain(create, {"halogen databases create shop --owner app"},
          "databases create --name shop --owner-name app");
  CLI::App* remove =
      add_command(group, context, flags, "delete", "Delete a database and end its sessions",
                  [](const Context& given, const Flags& of) { delete_one(given, of, "database"); });
  remove->add_option("name", flags->name, "Its name")->required()->type_name("DATABASE");
  explain(remove, {"halogen databases delete shop"}, "databases delete shop");
}

}  // namespace halogen::cli
