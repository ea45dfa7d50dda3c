#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/url.h"
#include "cli/context.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct EndpointFlags : Target {
  std::string endpoint;
};

std::string endpoints_path(const json& project) {
  return "/api/v2/projects/" + project.value("id", "") + "/endpoints";
}

// The one that is named, else the branch's.
json wanted_endpoint(const Api& api, const json& project, const EndpointFlags& flags) {
  if (!flags.endpoint.empty())
    return api.get(endpoints_path(project) + "/" + url_encoded(flags.endpoint)).at("endpoint");
  return find_endpoint(api, find_branch(api, project, flags.branch));
}

void print_endpoints(const json& endpoints) {
  std::vector<std::vector<std::string>> rows = {{"ID", "BRANCH", "TYPE", "STATE", "HOST"}};
  for (const json& endpoint : endpoints)
    rows.push_back({endpoint.value("id", ""), endpoint.value("branch_id", ""),
                    endpoint.value("type", ""), endpoint.value("current_state", ""),
                    endpoint.value("host", "")});
  print_table(rows);
}

void list_endpoints(const Context& context, const EndpointFlags& flags) {
  Api api(context);
  json endpoints = api.get(endpoints_path(find_project(api, flags.project)))["endpoints"];
  if (context.json) return print_json(endpoints);
  print_endpoints(endpoints);
}

void get_endpoint(const Context& context, const EndpointFlags& flags) {
  Api api(context);
  json endpoint = wanted_endpoint(api, find_project(api, flags.project), flags);
  if (context.json) return print_json(endpoint);
  print_endpoints(json::array({endpoint}));
}

void operate(const Context& context, const EndpointFlags& flags, const std::string& verb,
             const std::string& done) {
  Api api(context);
  json project = find_project(api, flags.project);
  json endpoint = wanted_endpoint(api, project, flags);
  std::string path = endpoints_path(project) + "/" + endpoint.value("id", "");
  Progress progress("Waiting for endpoint " + endpoint.value("id", ""));
  json answer = api.post(path + "/" + verb, json::object());
  api.wait_for_operations(answer);
  if (context.json) return print_json(api.get(path)["endpoint"]);
  fmt::print(stderr, "Endpoint {} is {}.\n", endpoint.value("id", ""), done);
}

void set_outgoing_traffic(const Context& context, const EndpointFlags& flags, bool allowed) {
  Api api(context);
  json project = find_project(api, flags.project);
  json endpoint = wanted_endpoint(api, project, flags);
  json answer = api.patch(endpoints_path(project) + "/" + endpoint.value("id", ""),
                          {{"endpoint", {{"settings", {{"outgoing_traffic", allowed}}}}}});
  if (context.json) return print_json(answer["endpoint"]);
  fmt::print(stderr, "Endpoint {} may {} connections from its next start on.\n",
             endpoint.value("id", ""), allowed ? "make" : "make no");
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* help, EndpointFlags& flags) {
  CLI::App* command = app.add_subcommand(name, help);
  add_target_options(command, flags);
  return command;
}

void add_outgoing_traffic(CLI::App& app, Context& context) {
  struct OutgoingFlags : EndpointFlags {
    std::string wanted;
  };
  auto flags = std::make_shared<OutgoingFlags>();
  CLI::App* command = add_verb(app, "outgoing-traffic",
                               "Whether a branch's compute may make connections itself "
                               "(postgres_fdw, dblink, subscriptions)",
                               *flags);
  command->add_option("state", flags->wanted)->required()->check(CLI::IsMember({"on", "off"}));
  explain(command, {"halogen outgoing-traffic on --branch dev"});
  command->callback(
      [&context, flags] { set_outgoing_traffic(context, *flags, flags->wanted == "on"); });
}

struct Verb {
  const char *name, *verb, *done, *help;
};

// Verbs are commands of their own for a branch, and commands of `endpoints` for any endpoint.
constexpr Verb kSuspend{"suspend", "suspend", "suspended",
                        "Stop a branch's compute now; the next connection wakes it"};
constexpr Verb kWake{"wake", "start", "active", "Start a branch's compute now"};
constexpr Verb kRestart{"restart", "restart", "restarted",
                        "Stop a branch's compute and start it again, with new settings"};

void add_operation(CLI::App& app, Context& context, const Verb& verb, bool any_endpoint) {
  auto flags = std::make_shared<EndpointFlags>();
  CLI::App* command = add_verb(app, verb.name, verb.help, *flags);
  if (any_endpoint)
    command->add_option("endpoint", flags->endpoint, "Its id; by default the branch's")
        ->type_name("ENDPOINT");
  explain(command,
          {fmt::format("halogen {}{} --branch dev", any_endpoint ? "endpoints " : "", verb.name)});
  command->callback([&context, flags, verb] { operate(context, *flags, verb.verb, verb.done); });
}

}  // namespace

void add_endpoints(CLI::App& app, Context& context) {
  add_operation(app, context, kSuspend, false);
  add_operation(app, context, kWake, false);
  add_outgoing_traffic(app, context);
  CLI::App* group = app.add_subcommand("endpoints", "List, suspend, wake and restart computes");
  group->alias("endpoint");
  group->require_subcommand(1);
  auto flags = std::make_shared<EndpointFlags>();
  CLI::App* list = group->add_subcommand("list", "List a project's endpoints");
  add_project_option(list, flags->project);
  list->callback([&context, flags] { list_endpoints(context, *flags); });
  explain(list, {"halogen endpoints list"});
  CLI::App* get = add_verb(*group, "get", "Show one endpoint", *flags);
  get->add_option("endpoint", flags->endpoint, "Its id; by default the branch's")
      ->type_name("ENDPOINT");
  get->callback([&context, flags] { get_endpoint(context, *flags); });
  explain(get, {"halogen endpoints get --branch dev --json"});
  for (const Verb& verb : {kSuspend, kWake, kRestart}) add_operation(*group, context, verb, true);
}

}  // namespace halogen::cli
