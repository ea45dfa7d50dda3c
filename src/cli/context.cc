#include "cli/context.h"

#include <fmt/format.h>
#include <httplib.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "cli/progress.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr const char* kApi = "/api/v2";

httplib::Client connect(const platform::Description& platform, const std::string& key) {
  httplib::Client client(platform.http_url);
  client.set_bearer_token_auth(key);
  client.set_connection_timeout(5);
  client.set_read_timeout(120);  // Creating a branch may wait for storage.
  return client;
}

Errc code_of(int status) {
  switch (status) {
    case 400:
      return Errc::invalid_argument;
    case 401:
    case 403:
      return Errc::permission_denied;
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::already_exists;
    case 422:
    case 423:
      return Errc::conflict;
    case 503:
      return Errc::unavailable;
    default:
      return Errc::internal;
  }
}

json read_answer(const platform::Description& platform, const httplib::Result& result) {
  if (!result)
    throw Error(Errc::unavailable, "no answer from {} ({}). See `halogen status`, or the log: {}",
                platform.http_url, httplib::to_string(result.error()), platform.log_file);
  if (result->status == 204) return json::object();
  json body = json::parse(result->body, nullptr, false);
  if (result->status >= 200 && result->status < 300 && !body.is_discarded()) return body;
  std::string message = body.is_object() ? body.value("message", "") : "";
  if (message.empty()) message = fmt::format("HTTP status {}", result->status);
  throw Error(code_of(result->status), "{}", message);
}

// The names to choose from, for a message.
std::string choices(const json& objects) {
  std::string text;
  for (const json& object : objects)
    text += fmt::format("\n  {}  {}", object.value("id", ""), object.value("name", ""));
  return text;
}

const json* find_by_id_or_name(const json& objects, const std::string& wanted) {
  for (const char* key : {"id", "name"})
    for (const json& object : objects)
      if (object.value(key, "") == wanted) return &object;
  return nullptr;
}

json only_project(const json& projects) {
  if (projects.size() == 1) return projects[0];
  if (projects.empty())
    throw Error(Errc::not_found,
                "there is no project yet. Make one with: halogen projects create --name NAME");
  throw Error(Errc::invalid_argument,
              "there are several projects: say which with --project, or once with `halogen use "
              "PROJECT`:{}",
              choices(projects));
}

// The branch that is in use, if this is the project that is.
std::string branch_in_use(const json& project) {
  const DefaultTarget in_use = default_target();
  const bool fits = in_use.project.empty() || in_use.project == project.value("id", "") ||
                    in_use.project == project.value("name", "");
  return fits ? in_use.branch : "";
}

}  // namespace

platform::Layout Context::layout() const {
  return platform::Layout(home.empty() ? platform::default_home() : fs::absolute(home));
}

Api::Api(const Context& context)
    : platform_(platform::running_platform(context.layout())),
      key_(read_file(context.layout().api_key)) {}

json Api::get(const std::string& path) const {
  httplib::Client client = connect(platform_, key_);
  return read_answer(platform_, client.Get(path));
}

std::string Api::get_text(const std::string& path) const {
  httplib::Client client = connect(platform_, key_);
  httplib::Result result = client.Get(path);
  if (!result || result->status != 200) read_answer(platform_, result);
  return result->body;
}

json Api::post(const std::string& path, const json& body) const {
  httplib::Client client = connect(platform_, key_);
  return read_answer(platform_, client.Post(path, body.dump(), "application/json"));
}

json Api::patch(const std::string& path, const json& body) const {
  httplib::Client client = connect(platform_, key_);
  return read_answer(platform_, client.Patch(path, body.dump(), "application/json"));
}

json Api::put(const std::string& path, const json& body) const {
  httplib::Client client = connect(platform_, key_);
  return read_answer(platform_, client.Put(path, body.dump(), "application/json"));
}

json Api::remove(const std::string& path) const {
  httplib::Client client = connect(platform_, key_);
  return read_answer(platform_, client.Delete(path));
}

void Api::wait_for_operations(const json& answer) const {
  for (const json& operation : answer.value("operations", json::array())) wait_for(operation);
}

void Api::wait_for(const json& operation) const {
  std::string path = fmt::format("{}/projects/{}/operations/{}", kApi,
                                 operation.at("project_id").get<std::string>(),
                                 operation.at("id").get<std::string>());
  Progress progress("Waiting for the operation " + operation.value("action", ""));
  for (json now = operation;; now = get(path)["operation"]) {
    std::string status = now.value("status", "");
    if (status == "finished" || status == "skipped") return;
    if (status == "failed" || status == "error" || status == "cancelled")
      throw Error(Errc::internal, "{}", now.value("error", "the operation " + status));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::string organization_path(const Api& api) {
  const json organizations = api.get("/api/v2/users/me/organizations").at("organizations");
  if (organizations.size() != 1)
    throw Error(Errc::conflict, "there are {} organizations: use the API", organizations.size());
  return "/api/v2/organizations/" + organizations[0].value("id", "");
}

json all_projects(const Api& api) {
  json projects = json::array();
  std::string cursor;
  for (;;) {
    json page = api.get(fmt::format("{}/projects?limit=100&cursor={}", kApi, cursor));
    for (json& project : page["projects"]) projects.push_back(std::move(project));
    if (page["projects"].size() < 100) return projects;
    cursor = page["pagination"]["cursor"];
  }
}

json find_project(const Api& api, const std::string& wanted) {
  const json projects = all_projects(api);
  const DefaultTarget in_use = wanted.empty() ? default_target() : DefaultTarget();
  const std::string& name = wanted.empty() ? in_use.project : wanted;
  if (name.empty()) return only_project(projects);
  if (const json* found = find_by_id_or_name(projects, name)) return *found;
  throw Error(Errc::not_found, "there is no project \"{}\"{} (see `halogen projects list`).{}",
              name, in_use.source.empty() ? "" : ", which is in use by " + in_use.source,
              projects.empty() ? "" : " There is:" + choices(projects));
}

json find_branch(const Api& api, const json& project, const std::string& wanted) {
  const json branches = api.get(fmt::format("{}/projects/{}/branches", kApi,
                                            project.at("id").get<std::string>()))["branches"];
  const std::string name = wanted.empty() ? branch_in_use(project) : wanted;
  if (name.empty()) {
    for (const json& branch : branches)
      if (branch.value("default", false)) return branch;
    throw Error(Errc::not_found, "the project has no default branch");
  }
  if (const json* found = find_by_id_or_name(branches, name)) return *found;
  throw Error(Errc::not_found, "there is no branch \"{}\"{}. There is:{}", name,
              wanted.empty() ? " (it is in use: see `halogen use`)" : "", choices(branches));
}

json find_endpoint(const Api& api, const json& branch) {
  json endpoints = api.get(fmt::format("{}/projects/{}/branches/{}/endpoints", kApi,
                                       branch.at("project_id").get<std::string>(),
                                       branch.at("id").get<std::string>()))["endpoints"];
  if (endpoints.empty()) throw Error(Errc::not_found, "the branch has no endpoint");
  return endpoints[0];
}

void explain(CLI::App* command, const std::vector<std::string>& examples,
             const std::string& neonctl) {
  std::string text = examples.empty() ? "" : examples.size() == 1 ? "Example:" : "Examples:";
  for (const std::string& example : examples) text += "\n  " + example;
  if (!neonctl.empty()) text += (text.empty() ? "" : "\n\n") + ("neonctl: " + neonctl);
  command->footer(text);
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

void print_json(const json& value) { fmt::print("{}\n", value.dump(2)); }

}  // namespace halogen::cli
