// Keys of the API: personal ones, of the organization, of one project.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct ApiKeyFlags {
  std::string name;
  std::string project;
  bool organization = false;
  int64_t id = 0;
};

// Where keys of the kind that the flags say are.
std::string keys_path(const Api& api, const ApiKeyFlags& flags) {
  if (!flags.organization && flags.project.empty()) return "/api/v2/api_keys";
  return organization_path(api) + "/api_keys";
}

// A project's keys are among its organization's.
bool is_meant(const json& key, const ApiKeyFlags& flags, const std::string& project) {
  if (flags.project.empty()) return !flags.organization || !key.contains("project_id");
  return key.value("project_id", "") == project;
}

std::string project_id(const Api& api, const ApiKeyFlags& flags) {
  return flags.project.empty() ? "" : find_project(api, flags.project).value("id", "");
}

void list_keys(const Context& context, const ApiKeyFlags& flags) {
  Api api(context);
  const std::string project = project_id(api, flags);
  json meant = json::array();
  for (const json& key : api.get(keys_path(api, flags)))
    if (is_meant(key, flags, project)) meant.push_back(key);
  if (context.json) return print_json(meant);
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "CREATED", "LAST USED", "FROM"}};
  for (const json& key : meant)
    rows.push_back({std::to_string(key.value("id", int64_t{0})), key.value("name", ""),
                    key.value("created_at", ""), key.value("last_used_at", ""),
                    key.value("last_used_from_addr", "")});
  print_table(rows);
}

// The key alone is on standard output.
void create_key(const Context& context, const ApiKeyFlags& flags) {
  Api api(context);
  json body = {{"key_name", flags.name}};
  if (const std::string project = project_id(api, flags); !project.empty())
    body["project_id"] = project;
  const json made = api.post(keys_path(api, flags), body);
  if (context.json) return print_json(made);
  fmt::print(stderr, "API key {} ({}) created. It is shown this once:\n",
             made.value("id", int64_t{}), flags.name);
  fmt::print("{}\n", made.value("key", ""));
}

void revoke_key(const Context& context, const ApiKeyFlags& flags) {
  Api api(context);
  const json revoked = api.remove(fmt::format("{}/{}", keys_path(api, flags), flags.id));
  if (context.json) return print_json(revoked);
  fmt::print(stderr, "API key {} ({}) is of no use any more.\n", flags.id,
             revoked.value("name", ""));
}

using Command = void (*)(const Context&, const ApiKeyFlags&);

CLI::App* add_command(CLI::App* group, Context& context, const std::shared_ptr<ApiKeyFlags>& flags,
                      const char* name, const char* help, Command command) {
  CLI::App* added = group->add_subcommand(name, help);
  CLI::Option* organization = added->add_flag("--organization,--org", flags->organization,
                                              "Of the organization: for all its projects");
  added->add_option("--project,--project-id", flags->project, "Of this project alone: id or name")
      ->type_name("PROJECT")
      ->excludes(organization);
  added->callback([&context, flags, command] { command(context, *flags); });
  return added;
}

}  // namespace

void add_api_keys(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("api-keys", "Make, list and revoke keys of the API");
  group->alias("api-key");
  group->require_subcommand(1);
  auto flags = std::make_shared<ApiKeyFlags>();
  explain(add_command(group, context, flags, "list", "List keys, and when they were used last",
                      list_keys),
          {"halogen api-keys list", "halogen api-keys list --project shop"}, "api-keys list");
  CLI::App* create = add_command(
      group, context, flags, "create",
      "Make a key: your own, which reaches everything, or one that reaches less", create_key);
  create->add_option("--name", flags->name, "What it is for")->required();
  explain(
      create,
      {"halogen api-keys create --name laptop", "halogen api-keys create --name ci --project shop"},
      "api-keys create --name laptop");
  CLI::App* revoke =
      add_command(group, context, flags, "revoke", "Make a key useless at once", revoke_key);
  revoke->add_option("key", flags->id, "Its number, as `list` shows it")->required();
  explain(revoke, {"halogen api-keys revoke 3"}, "api-keys revoke 3");
}

}  // namespace halogen::cli
