// preload_libraries.h: the libraries that a project may have preloaded into its computes
// (protocol/owner_extensions.def). They count from a compute's next start on.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace halogen::control {

struct PreloadLibrary {
  std::string_view name;
  std::string_view extension;  // To create in a database; empty: the library is all.
  std::string_view package;    // Debian's.
  std::string_view description;
};

std::span<const PreloadLibrary> preload_libraries();
// The names, with '|' between.
const std::string& preload_library_names();

// On this machine.
bool is_installed(const PreloadLibrary& library, int pg_version);
// The extension's, or PostgreSQL's.
std::string version_of(const PreloadLibrary& library, int pg_version);

// `preload_libraries` of a project's settings. Throws invalid_argument for a library that is not
// offered, or is not installed here; that one with its package.
std::vector<std::string> enabled_libraries(const nlohmann::json& settings);
void check_preload_libraries(const nlohmann::json& settings, int pg_version);

// The value of shared_preload_libraries with which a compute is to start: what its endpoint and its
// project ask for, each once, without what is not installed: a server would not start with it.
std::string libraries_to_start_with(const std::string& of_endpoint,
                                    const nlohmann::json& project_settings, int pg_version);
// Its names, without blanks.
std::vector<std::string> names_in(const std::string& libraries);

}  // namespace halogen::control
