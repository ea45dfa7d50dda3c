#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/error.h"
#include "cli/context.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kStopDeadline{180};

// What `status --json` prints: the description, then what the platform says of itself.
json full_status(const Api& api) {
  json status = json::parse(api.platform().to_json());
  status.update(api.get("/status"));
  return status;
}

std::string isolation_missing(const json& status) {
  std::string names;
  for (const json& layer : status.at("isolation").at("without"))
    names += (names.empty() ? "" : ", ") + layer.get<std::string>();
  return names;
}

// As pg_size_pretty has it.
std::string human_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  for (; bytes >= 10240 && unit < 4; unit++) bytes = (bytes + 512) / 1024;
  return fmt::format("{} {}", bytes, kUnits[unit]);
}

std::string bytes(const json& storage, const char* key) {
  auto found = storage.find(key);
  return found == storage.end() ? "" : human_bytes(found->get<uint64_t>());
}

void print_storage(const json& status) {
  std::vector<std::vector<std::string>> rows = {
      {"BRANCH", "NAME", "LOGICAL", "OWN", "OF IT HISTORY", "SHARED"}};
  for (const json& branch : status.value("storage", json::array()))
    rows.push_back({branch.value("branch", ""), branch.value("name", ""),
                    bytes(branch, "logical_bytes"), bytes(branch, "own_bytes"),
                    bytes(branch, "history_bytes"), bytes(branch, "shared_bytes")});
  print_table(rows);
}

void print_status(const json& status) {
  fmt::print("Halogen is running in {} (pid {}, since {}).\n", status.value("home", ""),
             status.value("pid", 0), status.value("started_at", ""));
  fmt::print(
      "  Postgres  {}:{}\n  SQL/HTTP  port {}\n  API       {}\n  CA file   {}\n  Log       {}\n  "
      "Computes  {}\n"
      "  Shares    {}\n\n",
      status.value("pg_host", ""), status.value("pg_port", 0), status.value("sql_port", 0),
      status.value("api_url", ""), status.value("ca_file", ""), status.value("log_file", ""),
      status.at("isolation").value("computes", ""), status.at("isolation").value("shares", ""));
  if (std::string missing = isolation_missing(status); !missing.empty())
    fmt::print("WARNING: tenants are not isolated: without {}.\n\n", missing);
  std::vector<std::vector<std::string>> rows = {{"COMPONENT", "STATE", ""}};
  for (const json& part : status["components"])
    rows.push_back({part.value("name", ""), part.value("state", ""), part.value("detail", "")});
  print_table(rows);
  fmt::print("\n");
  rows = {{"ENDPOINT", "STATE", "PROJECT", "BRANCH", "KEPT AWAKE BY", ""}};
  for (const json& compute : status["computes"]) {
    std::string awake = compute.value("keeps_awake", "");
    if (const json job = compute.value("next_job_at", json()); job.is_string())
      awake = fmt::format("wakes for a job at {}", job.get<std::string>());
    rows.push_back({compute.value("endpoint", ""), compute.value("state", ""),
                    compute.value("project", ""), compute.value("branch", ""), awake,
                    compute.value("problem", "")});
  }
  print_table(rows);
  fmt::print("\n");
  print_storage(status);
}

void show_status(const Context& context) {
  platform::Layout layout = context.layout();
  if (!platform::running_pid(layout)) {
    if (context.json)
      print_json({{"state", "stopped"}, {"home", layout.home.string()}});
    else
      fmt::print("Halogen is not running in {}. Start it with: halogen up --detach\n",
                 layout.home.string());
    throw Exit{kNotRunning};
  }
  Api api(context);
  json status = full_status(api);
  if (context.json)
    print_json(status);
  else
    print_status(status);
}

void stop(const Context& context, bool now) {
  platform::Layout layout = context.layout();
  std::optional<int> pid = platform::running_pid(layout);
  const json stopped = {{"state", "stopped"}, {"home", layout.home.string()}};
  if (!pid) {
    fmt::print(stderr, "Halogen is not running in {}.\n", layout.home.string());
    if (context.json) print_json(stopped);
    return;
  }
  if (::kill(*pid, SIGTERM) != 0)
    throw Error(Errc::permission_denied, "cannot stop pid {}: {}. Use sudo?", *pid,
                std::strerror(errno));
  if (now) ::kill(*pid, SIGINT);  // The second signal; one of a kind could be lost.
  fmt::print(stderr, "Stopping (pid {})...\n", *pid);
  Progress progress(now ? "Stopping" : "Waiting for transactions and computes to end");
  if (!platform::wait_for_end(*pid, Deadline::after(kStopDeadline)))
    throw Error(Errc::timed_out, "pid {} has not stopped within {} s. See the log: {}", *pid,
                kStopDeadline.count(), layout.log.string());
  if (context.json) return print_json(stopped);
  fmt::print(stderr, "Stopped. All data is in {}.\n", layout.home.string());
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  CLI::App* status = app.add_subcommand("status", "Show what runs and where");
  status->footer("Exit code 3: not running.\n\nExample:\n  halogen status --json");
  status->callback([&context] { show_status(context); });

  CLI::App* down = app.add_subcommand("down", "Stop the platform; its data stays");
  auto now = std::make_shared<bool>(false);
  down->add_flag("--now", *now, "Do not wait for clients to end their transactions");
  explain(down, {"halogen down"});
  down->callback([&context, now] { stop(context, *now); });
}

}  // namespace halogen::cli
