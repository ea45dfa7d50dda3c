// log.h: one line per event, for a person to read: time, level, component, message.
//
// A component makes a Logger once per file: `static const log::Logger logger("pageserver");`.
// ERROR and WARN are for what an operator must look at: the tests fail on any they did not expect.
// Secrets (passwords, keys, tokens, connection strings with passwords) are never logged.
//
// A message is one line whatever clients put into it: write() escapes it as escaped() says.
#pragma once
#include <fmt/core.h>

#include <string>
#include <string_view>

namespace halogen::log {

enum class Level { debug, info, warn, error };

// A file that has grown to this size becomes <name>.1.<extension>, and the older ones move on.
constexpr size_t kFileLimit = 32 << 20;
constexpr size_t kOldFiles = 4;

// Where lines go: standard error until init() names a file, which is made with mode 0640. Call
// before threads start.
void init(Level level, const std::string& file = "", size_t file_limit = kFileLimit);
bool enabled(Level level);
void write(Level level, std::string_view component, std::string_view message);
void flush();

// Returns `text` so that it is one line of UTF-8 that a terminal shows as it is: control
// characters, marks that change the direction of text, line separators and bytes that are no UTF-8
// become \n,
// \t or \xNN for each byte, and a backslash becomes two. Unambiguous: equal only if `text` is.
std::string escaped(std::string_view text);

class Logger {
 public:
  constexpr explicit Logger(std::string_view component) : component_(component) {}

  template <typename... Args>
  void debug(fmt::format_string<Args...> format, Args&&... args) const {
    if (enabled(Level::debug)) put(Level::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    put(Level::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    put(Level::warn, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) const {
    put(Level::error, format, std::forward<Args>(args)...);
  }

 private:
  template <typename... Args>
  void put(Level level, fmt::format_string<Args...> format, Args&&... args) const {
    write(level, component_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::string_view component_;
};

}  // namespace halogen::log
