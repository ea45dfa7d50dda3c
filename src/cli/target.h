// target.h: which project and branch a command is about: what its options say, else the
// environment (HALOGEN_PROJECT, HALOGEN_BRANCH), else the nearest `.neon` file, as neonctl has it.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace halogen::cli {

namespace fs = std::filesystem;

// Ids or names; empty: not said.
struct Target {
  std::string project;
  std::string branch;
};

// What holds where no option says otherwise, and where that is said.
struct DefaultTarget : Target {
  std::string source;  // "HALOGEN_PROJECT" or the file's path; empty: nothing is said.
};

// The `.neon` file of `folder` or of the nearest folder above it; the search ends at `top`, if that
// is above `folder`, else at the root.
std::optional<fs::path> find_target_file(const fs::path& folder, const fs::path& top);
// Reads `{"projectId", "branch" or "branchId"}`. Throws invalid_argument with the file's name if it
// is not JSON of that form.
DefaultTarget read_target_file(const fs::path& file);
// Writes the project and the branch into the file; other members stay. An empty project takes both
// out, and the file goes if nothing else is in it.
void write_target_file(const fs::path& file, const Target& target);
// The file that `use` writes: the nearest one, else one in the current folder.
fs::path target_file_to_write();
// The environment's, else the nearest file's, else empty.
DefaultTarget default_target();

// --project and --branch, under neonctl's names too.
CLI::Option* add_project_option(CLI::App* command, std::string& project);
CLI::Option* add_branch_option(CLI::App* command, std::string& branch);
void add_target_options(CLI::App* command, Target& target);

}  // namespace halogen::cli
