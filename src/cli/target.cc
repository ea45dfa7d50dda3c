#include "cli/target.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr const char* kFileName = ".neon";
constexpr uintmax_t kMostBytes = 64 << 10;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_below(const fs::path& folder, const fs::path& top) {
  const auto [at, end] = std::mismatch(top.begin(), top.end(), folder.begin(), folder.end());
  return at == top.end();
}

Error not_understood(const fs::path& file, const std::string& why) {
  return Error(Errc::invalid_argument,
               "{} is not understood: {}. Write it anew with: halogen use PROJECT", file.string(),
               why);
}

json read_object(const fs::path& file) {
  if (fs::file_size(file) > kMostBytes) throw not_understood(file, "it is too large");
  json object = json::parse(read_file(file), nullptr, false);
  if (!object.is_object()) throw not_understood(file, "it is no JSON object");
  return object;
}

std::string text_member(const json& object, const char* name, const fs::path& file) {
  auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "";
  if (!found->is_string()) throw not_understood(file, fmt::format("\"{}\" is no text", name));
  return found->get<std::string>();
}

std::optional<fs::path> nearest_file() {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  if (error) return std::nullopt;
  return find_target_file(here, environment("HOME"));
}

}  // namespace

std::optional<fs::path> find_target_file(const fs::path& folder, const fs::path& top) {
  const fs::path last =
      !top.empty() && is_below(folder, top) ? top.lexically_normal() : folder.root_path();
  for (fs::path at = folder;; at = at.parent_path()) {
    std::error_code error;
    if (fs::is_regular_file(at / kFileName, error)) return at / kFileName;
    if (at == last || at == at.parent_path()) return std::nullopt;
  }
}

DefaultTarget read_target_file(const fs::path& file) {
  const json object = read_object(file);
  DefaultTarget target;
  target.source = file.string();
  target.project = text_member(object, "projectId", file);
  target.branch = text_member(object, "branchId", file);
  if (target.branch.empty()) target.branch = text_member(object, "branch", file);
  return target;
}

void write_target_file(const fs::path& file, const Target& target) {
  json object = fs::exists(file) ? read_object(file) : json::object();
  for (const char* name : {"projectId", "branch", "branchId"}) object.erase(name);
  if (!target.project.empty()) object["projectId"] = target.project;
  if (!target.branch.empty()) object["branchId"] = target.branch;
  if (object.empty())
    fs::remove(file);
  else
    write_file(file, object.dump(2) + "\n");
}

fs::path target_file_to_write() { return nearest_file().value_or(fs::current_path() / kFileName); }

DefaultTarget default_target() {
  DefaultTarget target;
  target.project = environment("HALOGEN_PROJECT");
  target.branch = environment("HALOGEN_BRANCH");
  if (!target.project.empty()) target.source = "HALOGEN_PROJECT";
  if (!target.project.empty()) return target;
  std::optional<fs::path> file = nearest_file();
  DefaultTarget found = file ? read_target_file(*file) : DefaultTarget();
  if (!target.branch.empty()) found.branch = target.branch;
  return found;
}

CLI::Option* add_project_option(CLI::App* command, std::string& project) {
  return command
      ->add_option("--project,--project-id", project,
                   "Id or name; by default the one in use (`halogen use`), or the only one")
      ->type_name("PROJECT");
}

CLI::Option* add_branch_option(CLI::App* command, std::string& branch) {
  return command
      ->add_option("--branch", branch,
                   "Id or name; by default the one in use (`halogen use`), or the default branch")
      ->type_name("BRANCH");
}

void add_target_options(CLI::App* command, Target& target) {
  add_project_option(command, target.project);
  add_branch_option(command, target.branch);
}

}  // namespace halogen::cli
