#include "control/settings/job_settings.h"

#include <algorithm>

#include "control/settings/preload_libraries.h"

namespace halogen::control {
namespace {

constexpr const char* kLibraries = "shared_preload_libraries";
constexpr const char* kLibrary = "pg_cron";

}  // namespace

void prepare_for_jobs(SettingValues& settings, bool read_only, const std::string& database) {
  auto libraries = settings.find(kLibraries);
  if (libraries == settings.end()) return;
  const std::vector<std::string> names = names_in(libraries->second);
  if (std::ranges::find(names, kLibrary) == names.end()) return;
  if (read_only) {
    std::string others;
    for (const std::string& name : names)
      if (name != kLibrary) others += (others.empty() ? "" : ",") + name;
    if (others.empty())
      settings.erase(libraries);
    else
      libraries->second = std::move(others);
    return;
  }
  settings["cron.use_background_workers"] = "on";
  settings["cron.enable_superuser_jobs"] = "off";
  settings["cron.log_statement"] = "off";
  settings.try_emplace("cron.database_name", database);
}

}  // namespace halogen::control
