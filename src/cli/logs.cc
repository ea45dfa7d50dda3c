// The platform's log, in the form that is asked for, whole or of one connection or request.
#include <fcntl.h>
#include <fmt/core.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/context.h"
#include "cli/log_line.h"

extern char** environ;

namespace halogen::cli {
namespace {

struct LogsFlags {
  bool follow = false;
  int lines = 100;
  std::string id;
  std::string level;
};

int rank(const std::string& level) {
  constexpr std::array kLevels{"debug", "info", "warn", "error"};
  for (size_t i = 0; i < kLevels.size(); ++i)
    if (level == kLevels[i]) return static_cast<int>(i);
  return -1;
}

void show_line(const Context& context, const LogsFlags& flags, const std::string& line) {
  const std::optional<LogLine> parsed = parse_log_line(line);
  const bool chooses = !flags.id.empty() || !flags.level.empty();
  if (!parsed) {
    if (!chooses && !context.json) fmt::print("{}\n", line);
    return;
  }
  if (!flags.id.empty() && parsed->id != flags.id) return;
  if (!flags.level.empty() && rank(parsed->level) < rank(flags.level)) return;
  fmt::print("{}\n", context.json ? parsed->as_json() : parsed->as_text());
  std::fflush(stdout);
}

// With a choice of lines, of the whole file: what is wanted may be far behind its end.
std::vector<std::string> tail_words(const LogsFlags& flags, const std::string& file) {
  const bool whole = !flags.id.empty() || !flags.level.empty();
  std::vector<std::string> words = {"tail", "-n", whole ? "+1" : std::to_string(flags.lines)};
  if (flags.follow) words.push_back("-F");
  words.push_back(file);
  return words;
}

// Runs `words` with its standard output to the returned end of a pipe.
UniqueFd run_with_output(std::vector<std::string> words, pid_t& pid) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "pipe");
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.get(), STDOUT_FILENO);
  const int failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0)
    throw Error(Errc::unavailable, "cannot run {}: {}", words[0], std::strerror(failed));
  return from;
}

void show_logs(const Context& context, const LogsFlags& flags) {
  const platform::Layout layout = context.layout();
  if (::access(layout.log.c_str(), R_OK) != 0)
    throw Error(Errc::not_found, "there is no log that can be read at {}", layout.log.string());
  pid_t pid = 0;
  UniqueFd output = run_with_output(tail_words(flags, layout.log.string()), pid);
  FILE* lines = ::fdopen(output.release(), "r");
  char* line = nullptr;
  size_t room = 0;
  for (ssize_t size; (size = ::getline(&line, &room, lines)) > 0;) {
    if (line[size - 1] == '\n') --size;
    show_line(context, flags, std::string(line, static_cast<size_t>(size)));
  }
  std::free(line);
  std::fclose(lines);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  auto flags = std::make_shared<LogsFlags>();
  CLI::App* logs = app.add_subcommand("logs", "Show the platform's log");
  logs->add_flag("-f,--follow", flags->follow, "Go on as it grows");
  logs->add_option("-n,--lines", flags->lines, "How many of the last lines")->capture_default_str();
  logs->add_option("--id", flags->id,
                   "Only lines of this connection or request; what <...> in a line says");
  logs->add_option("--level", flags->level, "Only lines of at least this level")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  logs->callback([&context, flags] { show_logs(context, *flags); });
  explain(logs,
          {"halogen logs -f", "halogen logs --level warn", "halogen logs --id 6b8f2c4d00001"});
}

}  // namespace halogen::cli
