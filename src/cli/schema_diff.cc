// How the schema of a branch differs from another's, or from its own in the past.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/lsn.h"
#include "base/url.h"
#include "cli/context.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

struct SchemaDiffFlags {
  std::string project;
  std::string database;
  std::string base, compared;
};

struct Side {
  json branch;
  std::string moment;  // Empty: now.
};

// "BRANCH" or "BRANCH@MOMENT"; "^self" and "^parent" of the other branch, as neonctl has it.
Side read_side(const Api& api, const json& project, const std::string& text, const json* other) {
  const size_t at = text.find('@');
  const std::string name = text.substr(0, at);
  Side side{.moment = at == std::string::npos ? "" : text.substr(at + 1)};
  if (name == "^self" && other != nullptr) {
    side.branch = *other;
  } else if (name == "^parent" && other != nullptr) {
    if (!other->contains("parent_id"))
      throw Error(Errc::invalid_argument, "branch {} has no parent", other->value("name", ""));
    side.branch = find_branch(api, project, other->value("parent_id", ""));
  } else {
    side.branch = find_branch(api, project, name);
  }
  return side;
}

void add_moment(std::string& query, const char* prefix, const std::string& moment) {
  if (moment.empty()) return;
  query += fmt::format("&{}{}={}", prefix, Lsn::parse(moment) ? "lsn" : "timestamp",
                       url_encoded(moment));
}

std::vector<std::string> databases_of(const Api& api, const std::string& branches,
                                      const SchemaDiffFlags& flags, const Side& side) {
  if (!flags.database.empty()) return {flags.database};
  std::vector<std::string> names;
  const json answer = api.get(branches + "/" + side.branch.value("id", "") + "/databases");
  for (const json& one : answer.at("databases")) names.push_back(one.value("name", ""));
  return names;
}

void show_difference(const Context& context, const SchemaDiffFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.project);
  const std::string branches = "/api/v2/projects/" + project.value("id", "") + "/branches";
  // The one that is compared first: the other may be named by it.
  const Side compared = read_side(api, project, flags.compared, nullptr);
  const Side base =
      read_side(api, project, flags.base.empty() ? "^parent" : flags.base, &compared.branch);
  json found = json::array();
  Progress progress("Comparing schemas");
  for (const std::string& database : databases_of(api, branches, flags, compared)) {
    std::string query = fmt::format("?db_name={}&base_branch_id={}", url_encoded(database),
                                    base.branch.value("id", ""));
    add_moment(query, "base_", base.moment);
    add_moment(query, "", compared.moment);
    const json answer = api.get(
        fmt::format("{}/{}/compare_schema{}", branches, compared.branch.value("id", ""), query));
    found.push_back({{"database", database}, {"diff", answer.value("diff", "")}});
  }
  if (context.json) return print_json(found);
  for (const json& one : found) fmt::print("{}", one.value("diff", ""));
}

}  // namespace

void add_schema_diff(CLI::App& app, Context& context) {
  auto flags = std::make_shared<SchemaDiffFlags>();
  CLI::App* command = app.add_subcommand(
      "schema-diff", "Show how a branch's schema differs from another's, or from what it was");
  command
      ->add_option("branch", flags->compared,
                   "What is compared: a branch, or branch@moment; by "
                   "default the branch in use")
      ->type_name("BRANCH[@MOMENT]");
  command
      ->add_option("--base", flags->base,
                   "With what: a branch, branch@moment, ^self@moment; by default its parent")
      ->type_name("BRANCH[@MOMENT]");
  command->add_option("--database", flags->database, "By default all of the branch's");
  add_project_option(command, flags->project);
  command->callback([&context, flags] { show_difference(context, *flags); });
  explain(command,
          {"halogen schema-diff dev", "halogen schema-diff main --base ^self@2026-11-23T01:26:10Z"},
          "branches schema-diff main dev");
}

}  // namespace halogen::cli
