// words.h: the words of a command line held against the commands there are: for what a mistyped one
// was meant to be, and for what can come next.
#pragma once
#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace halogen::cli {

struct Reading {
  CLI::App* command = nullptr;        // The innermost one that the words name.
  std::string unknown;                // The first word that should name a command and does not.
  const CLI::Option* open = nullptr;  // The option whose value the next word is.
  size_t positionals = 0;             // How many words went to the command's positionals.
  bool literal = false;               // "--" was there.
  std::map<std::string, std::string> values;  // Of options, by their long name.
};

// Reads `words`, those after the program's name.
Reading read_words(CLI::App& app, const std::vector<std::string>& words);

// How many letters must be added, removed, changed or swapped with their neighbour.
size_t distance(const std::string& a, const std::string& b);
// The candidate that `word` may have been meant to be; "" if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

// The commands below this one, and the options that it and the commands above it take, as typed.
std::vector<std::string> subcommand_names(const CLI::App& command);
std::vector<std::string> option_names(const CLI::App& command);

// What is wrong with the words, for a person; "" if nothing is: a command that is not there, one
// that needs another after it, an option that no command takes.
std::string complaint(CLI::App& app, const std::vector<std::string>& words);

}  // namespace halogen::cli
