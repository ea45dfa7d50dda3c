#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct EndpointFlags {
  std::string project;
  std::string branch;
};

void operate(const Context& context, const EndpointFlags& flags, const std::string& verb,
             const std::string& done) {
  Api api(context);
  json project = find_project(api, flags.project);
  json endpoint = find_endpoint(api, find_branch(api, project, flags.branch));
  std::string path =
      "/api/v2/projects/" + project.value("id", "") + "/endpoints/" + endpoint.value("id", "");
  json answer = api.post(path + "/" + verb, json::object());
  for (const json& operation : answer["operations"]) api.wait_for(operation);
  if (context.json) return print_json(api.get(path)["endpoint"]);
  fmt::print(stderr, "Endpoint {} is {}.\n", endpoint.value("id", ""), done);
}

void set_outgoing_traffic(const Context& context, const EndpointFlags& flags, bool allowed) {
  Api api(context);
  json project = find_project(api, flags.project);
  json endpoint = find_endpoint(api, find_branch(api, project, flags.branch));
  json answer = api.patch(
      "/api/v2/projects/" + project.value("id", "") + "/endpoints/" + endpoint.value("id", ""),
      {{"endpoint", {{"settings", {{"outgoing_traffic", allowed}}}}}});
  if (context.json) return print_json(answer["endpoint"]);
  fmt::print(stderr, "Endpoint {} may {} connections from its next start on.\n",
             endpoint.value("id", ""), allowed ? "make" : "make no");
}

CLI::App* add_verb(CLI::App& app, const char* name, const char* help, EndpointFlags& flags) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("--project", flags.project, "Id or name; not needed if there is only one");
  command->add_option("--branch", flags.branch, "Id or name; by default the default branch");
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
  command->footer("Example:\n  halogen outgoing-traffic on --branch dev");
  command->callback(
      [&context, flags] { set_outgoing_traffic(context, *flags, flags->wanted == "on"); });
}

}  // namespace

void add_endpoints(CLI::App& app, Context& context) {
  struct Verb {
    const char *name, *verb, *done, *help;
  };
  for (Verb verb : {Verb{"suspend", "suspend", "suspended",
                         "Stop a branch's compute now; the next connection wakes it"},
                    Verb{"wake", "start", "active", "Start a branch's compute now"}}) {
    auto flags = std::make_shared<EndpointFlags>();
    add_verb(app, verb.name, verb.help, *flags)->callback([&context, flags, verb] {
      operate(context, *flags, verb.verb, verb.done);
    });
  }
  add_outgoing_traffic(app, context);
}

}  // namespace halogen::cli
