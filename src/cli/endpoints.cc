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

}  // namespace

void add_endpoints(CLI::App& app, Context& context) {
  struct Verb {
    const char *name, *verb, *done, *help;
  };
  for (Verb verb : {Verb{"suspend", "suspend", "suspended",
                         "Stop a branch's compute now; the next connection wakes it"},
                    Verb{"wake", "start", "active", "Start a branch's compute now"}}) {
    auto flags = std::make_shared<EndpointFlags>();
    CLI::App* command = app.add_subcommand(verb.name, verb.help);
    command->add_option("--project", flags->project, "Id or name; not needed if there is only one");
    command->add_option("--branch", flags->branch, "Id or name; by default the default branch");
    command->callback([&context, flags, verb] { operate(context, *flags, verb.verb, verb.done); });
  }
}

}  // namespace halogen::cli
