#include "cli/words.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace halogen::cli {
namespace {

bool is_shown(const CLI::App* command) { return !command->get_group().empty(); }
bool is_shown(const CLI::Option* option) { return !option->get_group().empty(); }

std::vector<const CLI::App*> shown_subcommands(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* one) { return is_shown(one); });
}

bool has_subcommands(const CLI::App& command) { return !shown_subcommands(command).empty(); }

const CLI::Option* find_option(const CLI::App* command, const std::string& name) {
  for (; command != nullptr; command = command->get_parent())
    if (const CLI::Option* option = command->get_option_no_throw(name)) return option;
  return nullptr;
}

std::string long_name(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_name() : option.get_lnames().front();
}

// Takes a word that begins with '-'.
void read_option(Reading& reading, const std::string& word) {
  const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
  const CLI::Option* option = find_option(reading.command, word.substr(0, equals));
  if (option == nullptr) return;
  if (equals != std::string::npos)
    reading.values[long_name(*option)] = word.substr(equals + 1);
  else if (option->get_items_expected_max() > 0)
    reading.open = option;
}

// Takes a word that is neither an option nor one's value.
void read_word(Reading& reading, const std::string& word) {
  if (!has_subcommands(*reading.command)) {
    ++reading.positionals;
    return;
  }
  for (CLI::App* next : reading.command->get_subcommands([](CLI::App*) { return true; }))
    if (next->check_name(word)) {
      reading.command = next;
      return;
    }
  reading.unknown = word;
}

// "halogen branches create"
std::string full_name(const CLI::App* command) {
  std::string name = command->get_name();
  for (command = command->get_parent(); command != nullptr; command = command->get_parent())
    name = command->get_name() + " " + name;
  return name;
}

std::string wrong_command(const Reading& reading) {
  const std::vector<std::string> names = subcommand_names(*reading.command);
  const std::string near = nearest(reading.unknown, names);
  const std::string above = full_name(reading.command);
  if (!near.empty())
    return fmt::format("there is no command \"{} {}\". Did you mean: {} {}", above, reading.unknown,
                       above, near);
  return fmt::format("there is no command \"{} {}\". There is: {}", above, reading.unknown,
                     fmt::join(names, ", "));
}

std::string wrong_option(const CLI::App& command, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  const std::string near = nearest(name, option_names(command));
  return fmt::format(
      "{} has no option {}. {}", full_name(&command), name,
      near.empty() ? fmt::format("See: {} --help", full_name(&command)) : "Did you mean: " + near);
}

}  // namespace

Reading read_words(CLI::App& app, const std::vector<std::string>& words) {
  Reading reading;
  reading.command = &app;
  for (const std::string& word : words) {
    if (reading.literal) {
      ++reading.positionals;
    } else if (reading.open != nullptr) {
      reading.values[long_name(*reading.open)] = word;
      reading.open = nullptr;
    } else if (word == "--") {
      reading.literal = true;
    } else if (word.size() > 1 && word[0] == '-') {
      read_option(reading, word);
    } else {
      read_word(reading, word);
      if (!reading.unknown.empty()) break;
    }
  }
  return reading;
}

size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  return cost[a.size()][b.size()];
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;  // What is longer was not typed by hand.
  if (word.size() > kLongest) return "";
  std::string best;
  size_t least = 1 + word.size() / 3;
  for (const std::string& candidate : candidates) {
    size_t far = distance(word, candidate);
    if (word.size() >= 2 && candidate.starts_with(word)) far = std::min<size_t>(far, 1);
    if (far > least || (far == least && !best.empty()) || far >= candidate.size()) continue;
    best = candidate;
    least = far;
  }
  return best;
}

std::vector<std::string> subcommand_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* one : shown_subcommands(command)) names.push_back(one->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* at = &command; at != nullptr; at = at->get_parent())
    for (const CLI::Option* option : at->get_options()) {
      if (!is_shown(option)) continue;
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  return names;
}

std::string complaint(CLI::App& app, const std::vector<std::string>& words) {
  if (std::any_of(words.begin(), words.end(), [](const std::string& word) {
        return word == "--help" || word == "-h" || word == "--version";
      }))
    return "";
  const Reading reading = read_words(app, words);
  if (!reading.unknown.empty()) return wrong_command(reading);
  if (has_subcommands(*reading.command))
    return fmt::format("{} needs a command: {}. See: {} --help", full_name(reading.command),
                       fmt::join(subcommand_names(*reading.command), ", "),
                       full_name(reading.command));
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.size() > 2 && word.starts_with("--") &&
        find_option(reading.command, word.substr(0, word.find('='))) == nullptr)
      return wrong_option(*reading.command, word);
  }
  return "";
}

}  // namespace halogen::cli
