#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/lsn.h"
#include "cli/context.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct BranchFlags {
  std::string project;
  std::string parent;
  std::string name;
  std::string at;
  std::string source;
  std::string keep_as;
  std::string new_name;
  int64_t idle_timeout = 0;
};

std::string branches_path(const json& project) {
  return "/api/v2/projects/" + project.at("id").get<std::string>() + "/branches";
}

// An LSN or a time, as the API has it: `<prefix>_lsn` or `<prefix>_timestamp`.
void add_moment(json& body, const std::string& prefix, const std::string& at) {
  if (at.empty()) return;
  body[prefix + (Lsn::parse(at) ? "_lsn" : "_timestamp")] = at;
}

// "0/1A2B3C4 (2026-11-23T01:26:10.5Z)": where a branch begins.
std::string beginning(const json& branch) {
  const std::string time = branch.value("parent_timestamp", "");
  return branch.value("parent_lsn", "") + (time.empty() ? "" : " (" + time + ")");
}

void create_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json parent = find_branch(api, project, flags.parent);
  json body = {
      {"branch", {{"name", flags.name}, {"parent_id", parent["id"]}}},
      {"endpoints", {{{"type", "read_write"}, {"suspend_timeout_seconds", flags.idle_timeout}}}}};
  add_moment(body["branch"], "parent", flags.at);
  Progress progress("Creating the branch");
  json made = api.post(branches_path(project), body);
  api.wait_for_operations(made);
  if (context.json) return print_json(made);
  fmt::print(stderr, "Branch {} ({}) created from {} at {}.\n", made["branch"].value("name", ""),
             made["branch"].value("id", ""), parent.value("name", ""), beginning(made["branch"]));
  for (const json& uri : made["connection_uris"])
    fmt::print("{}\n", uri.value("connection_uri", ""));
}

void print_branches(const json& branches) {
  std::vector<std::vector<std::string>> rows = {{"ID", "NAME", "DEFAULT", "PARENT", "AT", "TIME"}};
  for (const json& branch : branches)
    rows.push_back({branch.value("id", ""), branch.value("name", ""),
                    branch.value("default", false) ? "yes" : "", branch.value("parent_id", ""),
                    branch.value("parent_lsn", ""), branch.value("parent_timestamp", "")});
  print_table(rows);
}

void list_branches(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branches = api.get(branches_path(project))["branches"];
  if (context.json) return print_json(branches);
  print_branches(branches);
}

void get_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json branch = find_branch(api, find_project(api, flags.project), flags.name);
  if (context.json) return print_json(branch);
  print_branches(json::array({branch}));
}

void rename_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  json answer = api.patch(branches_path(project) + "/" + branch.value("id", ""),
                          {{"branch", {{"name", flags.new_name}}}});
  if (context.json) return print_json(answer["branch"]);
  fmt::print(stderr, "Branch {} is called {} now.\n", branch.value("id", ""), flags.new_name);
}

void set_default_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  json answer = api.post(branches_path(project) + "/" + branch.value("id", "") + "/set_as_default",
                         json::object());
  if (context.json) return print_json(answer["branch"]);
  fmt::print(stderr, "Branch {} ({}) is the default branch now.\n", branch.value("name", ""),
             branch.value("id", ""));
}

// A name for the state that a restore leaves, where one is needed: <branch>_old_<time>.
std::string name_of_old_state(const json& branch) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  return fmt::format("{}_old_{}", branch.value("name", ""), millis);
}

bool has_children(const Api& api, const json& project, const std::string& branch_id) {
  const json answer = api.get(branches_path(project));
  for (const json& other : answer.at("branches"))
    if (other.value("parent_id", "") == branch_id) return true;
  return false;
}

void restore(const Context& context, const Api& api, const json& project, const json& branch,
             const json& source, const BranchFlags& flags) {
  const std::string id = branch.value("id", "");
  std::string keep_as = flags.keep_as;
  if (keep_as.empty() && (source["id"] == branch["id"] || has_children(api, project, id)))
    keep_as = name_of_old_state(branch);
  json body = {{"source_branch_id", source["id"]}, {"preserve_under_name", keep_as}};
  add_moment(body, "source", flags.at);
  Progress progress("Restoring " + branch.value("name", ""));
  json answer = api.post(branches_path(project) + "/" + id + "/restore", body);
  api.wait_for_operations(answer);
  if (!keep_as.empty()) {  // So that people can look at it.
    json endpoint = {{"branch_id", find_branch(api, project, keep_as)["id"]},
                     {"type", "read_write"}};
    api.post("/api/v2/projects/" + project.value("id", "") + "/endpoints",
             {{"endpoint", endpoint}});
  }
  if (context.json) return print_json(answer["branch"]);
  fmt::print(stderr, "Branch {} ({}) is now as {} was at {}.\n", branch.value("name", ""), id,
             source.value("name", ""), beginning(answer["branch"]));
  if (!keep_as.empty()) fmt::print(stderr, "What it was before is branch {}.\n", keep_as);
}

void restore_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  json source = flags.source.empty() ? branch : find_branch(api, project, flags.source);
  restore(context, api, project, branch, source, flags);
}

void reset_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  if (!branch.contains("parent_id"))
    throw Error(Errc::invalid_argument, "branch {} has no parent", branch.value("name", ""));
  restore(context, api, project, branch, find_branch(api, project, branch.value("parent_id", "")),
          flags);
}

void delete_branch(const Context& context, const BranchFlags& flags) {
  Api api(context);
  json project = find_project(api, flags.project);
  json branch = find_branch(api, project, flags.name);
  Progress progress("Deleting " + branch.value("name", ""));
  json answer = api.remove(branches_path(project) + "/" + branch.value("id", ""));
  api.wait_for_operations(answer);
  if (context.json) return print_json(answer["branch"]);
  fmt::print(stderr, "Branch {} ({}) deleted.\n", branch.value("name", ""), branch.value("id", ""));
}

constexpr const char* kAt =
    "An LSN, as 0/1A2B3C4, or a time with its zone, as 2026-11-23T01:26:10Z: the last commit at or "
    "before it";

using Flags = std::shared_ptr<BranchFlags>;
using Command = void (*)(const Context&, const BranchFlags&);

CLI::App* add_command(CLI::App* group, Context& context, const Flags& flags, const char* name,
                      const char* help, Command command) {
  CLI::App* added = group->add_subcommand(name, help);
  add_project_option(added, flags->project);
  added->callback([&context, flags, command] { command(context, *flags); });
  return added;
}

// As above, for one branch that must be named.
CLI::App* add_named_command(CLI::App* group, Context& context, const Flags& flags, const char* name,
                            const char* help, Command command) {
  CLI::App* added = add_command(group, context, flags, name, help, command);
  added->add_option("branch", flags->name, "Its id or name")->required()->type_name("BRANCH");
  return added;
}

void add_create(CLI::App* group, Context& context, const Flags& flags) {
  CLI::App* create = add_command(group, context, flags, "create",
                                 "Branch from a parent: it sees the parent's data as of now, or as "
                                 "of a moment; nothing is copied",
                                 create_branch);
  create->add_option("--parent", flags->parent, "Id or name; by default the default branch")
      ->type_name("BRANCH");
  create->add_option("--at", flags->at, kAt)->type_name("MOMENT");
  create->add_option("--name", flags->name, "Its name; by default its id");
  create->add_option("--suspend-timeout", flags->idle_timeout,
                     "Seconds without a connection until its compute is suspended (0: default, "
                     "300; -1: never)");
  explain(create,
          {"halogen branches create --name dev",
           "halogen branches create --name before --at '2026-11-23 01:26:10+01'"},
          "branches create --name dev [--parent BRANCH|LSN|TIME]");
}

void add_restore(CLI::App* group, Context& context, const Flags& flags) {
  CLI::App* restored = add_named_command(
      group, context, flags, "restore",
      "Let a branch go on from a moment of its own or of another branch. Its id, endpoint and "
      "connections stay. What it was before is kept as a branch if it has a name, or if others "
      "depend on it",
      restore_branch);
  restored->add_option("--from", flags->source, "Id or name of the source; by default the branch")
      ->type_name("BRANCH");
  restored->add_option("--at", flags->at, kAt)->type_name("MOMENT");
  restored->add_option("--keep-as", flags->keep_as, "A name for what the branch was before");
  explain(restored, {"halogen branches restore main --at 2026-11-23T01:26:10Z"},
          "branches restore main ^self@2026-11-23T01:26:10Z --preserve-under-name NAME");

  CLI::App* reset = add_named_command(
      group, context, flags, "reset",
      "Let a branch go on from the head of its parent, as if it were created now", reset_branch);
  reset->add_option("--keep-as", flags->keep_as, "A name for what the branch was before");
  explain(reset, {"halogen branches reset dev"},
          "branches reset dev --parent [--preserve-under-name NAME]");
}

}  // namespace

void add_branches(CLI::App& app, Context& context) {
  CLI::App* group =
      app.add_subcommand("branches", "Create, list, change, restore, reset and delete branches");
  group->alias("branch");
  group->require_subcommand(1);
  auto flags = std::make_shared<BranchFlags>();
  add_create(group, context, flags);
  explain(add_command(group, context, flags, "list", "List a project's branches", list_branches),
          {"halogen branches list"}, "branches list");
  explain(add_named_command(group, context, flags, "get", "Show one branch", get_branch),
          {"halogen branches get dev --json"}, "branches get dev");
  CLI::App* renamed =
      add_named_command(group, context, flags, "rename", "Give a branch a new name", rename_branch);
  renamed->add_option("name", flags->new_name, "Its new name")->required();
  explain(renamed, {"halogen branches rename dev test"}, "branches rename dev test");
  explain(add_named_command(group, context, flags, "set-default",
                            "Make a branch the one that is meant when none is named",
                            set_default_branch),
          {"halogen branches set-default main"}, "branches set-default main");
  add_restore(group, context, flags);
  explain(add_named_command(group, context, flags, "delete", "Delete a branch that has no children",
                            delete_branch),
          {"halogen branches delete dev"}, "branches delete dev");
}

}  // namespace halogen::cli
