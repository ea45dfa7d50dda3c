// `halogen completion SHELL`, and what its scripts ask: which words can come next.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/context.h"
#include "cli/target.h"
#include "cli/words.h"

namespace halogen::cli {

using nlohmann::json;

namespace {

constexpr const char* kBash =
    R"text(# Completion of halogen for bash:  eval "$(halogen completion bash)"
_halogen() {
  local word text
  COMPREPLY=()
  while IFS=$'\t' read -r word text; do
    case $word in
      :files) COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")) ;;
      *) COMPREPLY+=("$(printf '%q' "$word")") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _halogen halogen
)text";

constexpr const char* kZsh = R"text(#compdef halogen
# Completion of halogen for zsh:  eval "$(halogen completion zsh)"
_halogen() {
  local line
  local -a candidates
  for line in "${(@f)$(${words[1]} __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] || continue
    if [[ $line == :files* ]]; then
      _files
      return
    fi
    candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  _describe halogen candidates
}
compdef _halogen halogen
)text";

constexpr const char* kFish =
    R"text(# Completion of halogen for fish:  halogen completion fish | source
function __halogen_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    for line in ($before[1] __complete $before[2..-1] "$current" 2>/dev/null)
        if string match -q ':files*' -- $line
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c halogen -f -a '(__halogen_complete)'
)text";

struct Candidate {
  std::string word;
  std::string text;  // What it is, in a line.
};
using Candidates = std::vector<Candidate>;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// "on" and "off" of "TEXT:{on,off}".
Candidates choices_of(const std::string& type) {
  Candidates found;
  size_t at = type.find('{');
  const size_t end = type.find('}', at == std::string::npos ? 0 : at);
  if (at == std::string::npos || end == std::string::npos) return found;
  while (at < end) {
    const size_t next = std::min(type.find(',', at + 1), end);
    found.push_back({type.substr(at + 1, next - at - 1), ""});
    at = next;
  }
  return found;
}

std::string value_of(const Reading& reading, const std::string& name) {
  auto found = reading.values.find(name);
  return found == reading.values.end() ? "" : found->second;
}

void add_named(Candidates& found, const json& objects) {
  for (const json& object : objects) {
    const std::string id = object.value("id", "");
    const std::string name = object.value("name", "");
    if (!name.empty()) found.push_back({name, id == name ? "" : id});
    if (!id.empty() && name.empty()) found.push_back({id, ""});
  }
}

// What a running platform has of that kind; Error if none runs.
Candidates objects_of(const std::string& type, const Reading& reading) {
  Context context;
  context.home = value_of(reading, "home");
  Api api(context);
  Candidates found;
  if (type == "PROJECT") {
    add_named(found, all_projects(api));
    return found;
  }
  const json project = find_project(api, value_of(reading, "project"));
  const std::string path = "/api/v2/projects/" + project.value("id", "");
  if (type == "BRANCH") {
    add_named(found, api.get(path + "/branches").at("branches"));
    return found;
  }
  if (type == "SNAPSHOT") {
    add_named(found, api.get(path + "/snapshots").at("snapshots"));
    return found;
  }
  if (type == "ENDPOINT") {
    add_named(found, api.get(path + "/endpoints").at("endpoints"));
    return found;
  }
  if (type == "OPERATION") {
    const json answer = api.get(path + "/operations?limit=20");
    for (const json& operation : answer.at("operations"))
      found.push_back({operation.value("id", ""), operation.value("action", "")});
    return found;
  }
  const std::string kind = type == "ROLE" ? "roles" : "databases";
  const json branch = find_branch(api, project, value_of(reading, "branch"));
  add_named(found, api.get(path + "/branches/" + branch.value("id", "") + "/" + kind).at(kind));
  return found;
}

Candidates values_for(const CLI::Option& option, const Reading& reading) {
  const std::string type = option.get_type_name();
  if (type == "PATH") return {{":files", ""}};
  for (const char* kind :
       {"PROJECT", "BRANCH", "SNAPSHOT", "ENDPOINT", "OPERATION", "ROLE", "DATABASE"})
    if (type == kind) return objects_of(type, reading);
  return choices_of(type);
}

Candidates subcommands_of(const CLI::App& command) {
  Candidates found;
  for (const std::string& name : subcommand_names(command))
    found.push_back(
        {name, first_line(const_cast<CLI::App&>(command).get_subcommand(name)->get_description())});
  return found;
}

Candidates options_of(const CLI::App& command) {
  Candidates found;
  for (const std::string& name : option_names(command)) {
    const CLI::Option* option = nullptr;
    for (const CLI::App* at = &command; at != nullptr && option == nullptr; at = at->get_parent())
      option = at->get_option_no_throw(name);
    found.push_back({name, first_line(option->get_description())});
  }
  return found;
}

const CLI::Option* positional(const CLI::App& command, size_t index) {
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional() && index-- == 0) return option;
  return nullptr;
}

Candidates candidates_for(CLI::App& app, const std::vector<std::string>& before,
                          const std::string& current) {
  const Reading reading = read_words(app, before);
  if (!reading.unknown.empty() || reading.literal) return {};
  if (reading.open != nullptr) return values_for(*reading.open, reading);
  if (current.starts_with("-")) return options_of(*reading.command);
  Candidates found = subcommands_of(*reading.command);
  if (!found.empty()) return found;
  const CLI::Option* wanted = positional(*reading.command, reading.positionals);
  return wanted == nullptr ? Candidates() : values_for(*wanted, reading);
}

void print_script(const std::string& shell) {
  fmt::print("{}", shell == "bash" ? kBash : shell == "zsh" ? kZsh : kFish);
}

}  // namespace

void complete(CLI::App& app, std::vector<std::string> words) {
  const std::string current = words.empty() ? "" : words.back();
  if (!words.empty()) words.pop_back();
  try {
    for (const Candidate& one : candidates_for(app, words, current))
      if (one.word.starts_with(current) || one.word == ":files")
        fmt::print("{}\t{}\n", one.word, one.text);
  } catch (const std::exception&) {
    // Nobody reads messages in the middle of a line.
  }
}

void add_completion(CLI::App& app, Context&) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("completion", "Print what a shell needs to complete halogen's words");
  command->add_option("shell", *shell)->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer(
      "Examples:\n  echo 'eval \"$(halogen completion bash)\"' >> ~/.bashrc\n"
      "  echo 'eval \"$(halogen completion zsh)\"' >> ~/.zshrc\n"
      "  halogen completion fish > ~/.config/fish/completions/halogen.fish\n\n"
      "neonctl: completion");
  command->callback([shell] { print_script(*shell); });
}

}  // namespace halogen::cli
