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

struct SnapshotFlags {
  Target target;
  std::string snapshot;
  std::string name;
  std::string at;
  std::string expires;
  std::vector<std::string> every;
  int hour = 0, day = 1;
  double keep_days = 0;
  bool finalize = false;
  bool off = false;
};

std::string project_path(const json& project) {
  return "/api/v2/projects/" + project.value("id", "");
}

void add_parameter(std::string& query, const std::string& name, const std::string& value) {
  if (value.empty()) return;
  query += (query.empty() ? "?" : "&") + name + "=" + url_encoded(value);
}

json find_snapshot(const Api& api, const json& project, const std::string& wanted) {
  const json answer = api.get(project_path(project) + "/snapshots");
  for (const json& one : answer.at("snapshots"))
    if (one.value("id", "") == wanted || one.value("name", "") == wanted) return one;
  throw Error(Errc::not_found, "no snapshot {}; see: halogen snapshots list", wanted);
}

void print_snapshots(const json& snapshots) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "NAME", "BRANCH", "AT", "TIME", "CREATED", "EXPIRES"}};
  for (const json& one : snapshots)
    rows.push_back({one.value("id", ""), one.value("name", ""), one.value("source_branch_id", ""),
                    one.value("lsn", ""), one.value("timestamp", ""), one.value("created_at", ""),
                    one.value("expires_at", "")});
  print_table(rows);
}

void list_snapshots(const Context& context, const SnapshotFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.target.project);
  const json snapshots = api.get(project_path(project) + "/snapshots").at("snapshots");
  if (context.json) return print_json(snapshots);
  print_snapshots(snapshots);
}

void create_snapshot(const Context& context, const SnapshotFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.target.project);
  const json branch = find_branch(api, project, flags.target.branch);
  std::string query;
  add_parameter(query, "name", flags.name);
  add_parameter(query, Lsn::parse(flags.at) ? "lsn" : "timestamp", flags.at);
  add_parameter(query, "expires_at", flags.expires);
  const json made = api.post(fmt::format("{}/branches/{}/snapshot{}", project_path(project),
                                         branch.value("id", ""), query),
                             json::object());
  api.wait_for_operations(made);
  if (context.json) return print_json(made.at("snapshot"));
  fmt::print(stderr, "Snapshot {} of branch {} taken at {}.\n",
             made["snapshot"].value("name", made["snapshot"].value("id", "")),
             branch.value("name", ""), made["snapshot"].value("lsn", ""));
  fmt::print("{}\n", made["snapshot"].value("id", ""));
}

void restore_snapshot(const Context& context, const SnapshotFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.target.project);
  const json snapshot = find_snapshot(api, project, flags.snapshot);
  json body = {{"finalize_restore", flags.finalize}};
  if (!flags.name.empty()) body["name"] = flags.name;
  if (!flags.target.branch.empty())
    body["target_branch_id"] = find_branch(api, project, flags.target.branch).at("id");
  Progress progress("Restoring " + flags.snapshot);
  const json made = api.post(
      fmt::format("{}/snapshots/{}/restore", project_path(project), snapshot.value("id", "")),
      body);
  api.wait_for_operations(made);
  if (context.json) return print_json(made.at("branch"));
  fmt::print(stderr, "Branch {} ({}) is as snapshot {} has it.\n", made["branch"].value("name", ""),
             made["branch"].value("id", ""), flags.snapshot);
}

void delete_snapshot(const Context& context, const SnapshotFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.target.project);
  const json snapshot = find_snapshot(api, project, flags.snapshot);
  const json gone = api.remove(project_path(project) + "/snapshots/" + snapshot.value("id", ""));
  api.wait_for_operations(gone);
  if (context.json) return print_json(snapshot);
  fmt::print(stderr, "Snapshot {} ({}) deleted.\n", snapshot.value("name", ""),
             snapshot.value("id", ""));
}

json schedule_of(const SnapshotFlags& flags) {
  json items = json::array();
  for (const std::string& frequency : flags.every) {
    json item = {{"frequency", frequency}};
    if (frequency != "hourly") item["hour"] = flags.hour;
    if (frequency != "hourly" && frequency != "daily") item["day"] = flags.day;
    if (flags.keep_days > 0)
      item["retention_seconds"] = static_cast<int64_t>(flags.keep_days * 86'400);
    items.push_back(std::move(item));
  }
  return items;
}

void print_schedule(const json& schedule) {
  std::vector<std::vector<std::string>> rows = {{"EVERY", "HOUR", "DAY", "KEPT FOR"}};
  for (const json& item : schedule) {
    auto number = [&](const char* name) {
      return item.contains(name) ? item[name].dump() : std::string();
    };
    const int64_t kept = item.value("retention_seconds", int64_t{0});
    rows.push_back(
        {item.value("frequency", ""), number("hour"), number("day"),
         kept == 0 ? "ever" : fmt::format("{:g} days", static_cast<double>(kept) / 86'400)});
  }
  print_table(rows);
}

// Without a change: shows it.
void schedule_snapshots(const Context& context, const SnapshotFlags& flags) {
  Api api(context);
  const json project = find_project(api, flags.target.project);
  const json branch = find_branch(api, project, flags.target.branch);
  const std::string path =
      fmt::format("{}/branches/{}/backup_schedule", project_path(project), branch.value("id", ""));
  if (!flags.every.empty() || flags.off) api.put(path, {{"schedule", schedule_of(flags)}});
  const json schedule = api.get(path).at("schedule");
  if (context.json) return print_json(schedule);
  print_schedule(schedule);
}

using Flags = std::shared_ptr<SnapshotFlags>;
using Command = void (*)(const Context&, const SnapshotFlags&);

CLI::App* add_command(CLI::App* group, Context& context, const Flags& flags, const char* name,
                      const char* help, Command command) {
  CLI::App* added = group->add_subcommand(name, help);
  add_project_option(added, flags->target.project);
  added->callback([&context, flags, command] { command(context, *flags); });
  return added;
}

void add_snapshot_name(CLI::App* command, const Flags& flags) {
  command->add_option("snapshot", flags->snapshot, "Its id or name")
      ->required()
      ->type_name("SNAPSHOT");
}

void add_create(CLI::App* group, Context& context, const Flags& flags) {
  CLI::App* create =
      add_command(group, context, flags, "create",
                  "Keep a branch as it is now, or as it was; nothing is copied", create_snapshot);
  add_branch_option(create, flags->target.branch);
  create->add_option("--name", flags->name, "Its name; by default one is made");
  create->add_option("--at", flags->at, "An LSN, or a time with its zone; by default now")
      ->type_name("MOMENT");
  create->add_option("--expires-at", flags->expires, "When it is to be deleted")->type_name("TIME");
  explain(create, {"halogen snapshots create --name before-release"},
          "snapshots create --name before-release");
}

void add_restore(CLI::App* group, Context& context, const Flags& flags) {
  CLI::App* restore = add_command(group, context, flags, "restore",
                                  "Make a branch of a snapshot, to look at or to take another's "
                                  "place",
                                  restore_snapshot);
  add_snapshot_name(restore, flags);
  restore->add_option("--name", flags->name, "The new branch's name");
  restore
      ->add_option("--target,--target-branch", flags->target.branch,
                   "The branch whose place it is to take")
      ->type_name("BRANCH");
  restore->add_flag("--finalize", flags->finalize,
                    "Take that place at once: names and endpoints are swapped");
  explain(restore,
          {"halogen snapshots restore before-release --name look",
           "halogen snapshots restore before-release --target main --finalize"},
          "snapshots restore SNAPSHOT");
}

void add_schedule(CLI::App* group, Context& context, const Flags& flags) {
  CLI::App* schedule = add_command(group, context, flags, "schedule",
                                   "Show or change when snapshots of a branch are taken by "
                                   "themselves",
                                   schedule_snapshots);
  add_branch_option(schedule, flags->target.branch);
  CLI::Option* every =
      schedule->add_option("--every", flags->every, "How often; more than one may be named")
          ->check(CLI::IsMember({"hourly", "daily", "weekly", "monthly", "yearly"}));
  schedule->add_option("--hour", flags->hour, "At which hour, UTC")->check(CLI::Range(0, 23));
  schedule->add_option("--day", flags->day, "On which day of the week or month")
      ->check(CLI::Range(1, 31));
  schedule
      ->add_option("--keep-days", flags->keep_days, "How long each is kept; by default for ever")
      ->check(CLI::PositiveNumber);
  schedule->add_flag("--off", flags->off, "Take no more")->excludes(every);
  explain(schedule,
          {"halogen snapshots schedule --every daily --hour 3 --keep-days 14",
           "halogen snapshots schedule --off"},
          "snapshots schedule");
}

}  // namespace

void add_snapshots(CLI::App& app, Context& context) {
  CLI::App* group =
      app.add_subcommand("snapshots", "Take, list, restore, schedule and delete snapshots");
  group->alias("snapshot");
  group->require_subcommand(1);
  auto flags = std::make_shared<SnapshotFlags>();
  add_create(group, context, flags);
  explain(add_command(group, context, flags, "list", "List a project's snapshots", list_snapshots),
          {"halogen snapshots list"}, "snapshots list");
  add_restore(group, context, flags);
  add_schedule(group, context, flags);
  CLI::App* remove =
      add_command(group, context, flags, "delete", "Delete a snapshot", delete_snapshot);
  add_snapshot_name(remove, flags);
  explain(remove, {"halogen snapshots delete before-release"}, "snapshots delete SNAPSHOT");
}

}  // namespace halogen::cli
