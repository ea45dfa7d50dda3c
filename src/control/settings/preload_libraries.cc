#include "control/settings/preload_libraries.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

using nlohmann::json;

const log::Logger logger("control");

constexpr PreloadLibrary kLibraries[] = {
#define HALOGEN_LIBRARY(name, extension, package, description) \
  {name, extension, package, description},
#include "protocol/owner_extensions.def"
#undef HALOGEN_LIBRARY
};

const PreloadLibrary* find(std::string_view name) {
  for (const PreloadLibrary& library : kLibraries)
    if (library.name == name) return &library;
  return nullptr;
}

}  // namespace

std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names;
  std::string name;
  for (char c : list + ",") {
    if (c == ' ') continue;
    if (c != ',')
      name += c;
    else if (!name.empty())
      names.push_back(std::exchange(name, {}));
  }
  return names;
}

std::span<const PreloadLibrary> preload_libraries() { return kLibraries; }

const std::string& preload_library_names() {
  static const std::string names = [] {
    std::string joined;
    for (const PreloadLibrary& library : kLibraries)
      joined += (joined.empty() ? "" : "|") + std::string(library.name);
    return joined;
  }();
  return names;
}

bool is_installed(const PreloadLibrary& library, int pg_version) {
  std::error_code error;
  return std::filesystem::exists(
      fmt::format("/usr/lib/postgresql/{}/lib/{}.so", pg_version, library.name), error);
}

std::string version_of(const PreloadLibrary& library, int pg_version) {
  std::ifstream control(
      fmt::format("/usr/share/postgresql/{}/extension/{}.control", pg_version, library.extension));
  constexpr std::string_view kKey = "default_version";
  for (std::string line; std::getline(control, line);) {
    if (!line.starts_with(kKey)) continue;
    const size_t first = line.find('\''), last = line.rfind('\'');
    if (first != std::string::npos && last > first) return line.substr(first + 1, last - first - 1);
  }
  return std::to_string(pg_version);
}

std::vector<std::string> enabled_libraries(const json& settings) {
  const json part = settings.value("preload_libraries", json::object());
  if (part.is_null()) return {};
  if (!part.is_object()) throw Error(Errc::invalid_argument, "preload_libraries must be an object");
  const json list = part.value("enabled_libraries", json::array());
  if (!list.is_array())
    throw Error(Errc::invalid_argument, "preload_libraries.enabled_libraries must be a list");
  std::vector<std::string> names;
  for (const json& entry : list) {
    if (!entry.is_string())
      throw Error(Errc::invalid_argument,
                  "preload_libraries.enabled_libraries must be a list of strings");
    names.push_back(entry.get<std::string>());
  }
  return names;
}

void check_preload_libraries(const json& settings, int pg_version) {
  for (const std::string& name : enabled_libraries(settings)) {
    const PreloadLibrary* library = find(name);
    if (library == nullptr)
      throw Error(Errc::invalid_argument,
                  "preload_libraries: there is no library \"{}\" to preload; those there are: {}",
                  name, preload_library_names());
    if (!is_installed(*library, pg_version))
      throw Error(Errc::invalid_argument,
                  "preload_libraries: \"{}\" is not installed here: the operator has to install "
                  "the Debian package {}",
                  name, library->package);
  }
}

std::string libraries_to_start_with(const std::string& of_endpoint, const json& project_settings,
                                    int pg_version) {
  std::vector<std::string> wanted = names_in(of_endpoint);
  std::ranges::copy(enabled_libraries(project_settings), std::back_inserter(wanted));
  std::string joined;
  std::vector<std::string> taken;
  for (const std::string& name : wanted) {
    if (std::ranges::find(taken, name) != taken.end()) continue;
    taken.push_back(name);
    const PreloadLibrary* library = find(name);
    if (library != nullptr && !is_installed(*library, pg_version)) {
      logger.warn("library {} is not preloaded: install the Debian package {}", name,
                  library->package);
      continue;
    }
    joined += (joined.empty() ? "" : ",") + name;
  }
  return joined;
}

}  // namespace halogen::control
