#include "control/settings/project_settings.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace halogen::control {
namespace {

using nlohmann::json;

constexpr const char* kAllowedIps = "allowed_ips";

}  // namespace

AllowList allow_list_of(const json& settings) {
  auto found = settings.find(kAllowedIps);
  if (found == settings.end() || found->is_null()) return {};
  if (!found->is_object()) throw Error(Errc::invalid_argument, "allowed_ips must be an object");
  json ips = found->value("ips", json::array());
  if (!ips.is_array()) throw Error(Errc::invalid_argument, "allowed_ips.ips must be a list");
  std::vector<std::string> entries;
  for (const json& entry : ips) {
    if (!entry.is_string())
      throw Error(Errc::invalid_argument, "allowed_ips.ips must be a list of strings");
    entries.push_back(entry.get<std::string>());
  }
  json only = found->value("protected_branches_only", json(false));
  if (!only.is_boolean())
    throw Error(Errc::invalid_argument, "allowed_ips.protected_branches_only must be a boolean");
  return AllowList::parse(entries);
}

bool only_protected_branches(const json& settings) {
  auto found = settings.find(kAllowedIps);
  return found != settings.end() && found->is_object() &&
         found->value("protected_branches_only", false);
}

json merged_settings(const std::string& before, const json& changes) {
  json settings = json::parse(before);
  for (const auto& [name, value] : changes.items()) {
    if (value.is_null())
      settings.erase(name);
    else
      settings[name] = value;
  }
  allow_list_of(settings);
  if (auto found = settings.find(kAllowedIps); found != settings.end())
    *found = {{"ips", found->value("ips", json::array())},
              {"protected_branches_only", only_protected_branches(settings)}};
  return settings;
}

}  // namespace halogen::control
