// log_line.h: a line of the platform's log, in either of its forms (base/log_trace.h).
#pragma once
#include <optional>
#include <string>

namespace halogen::cli {

struct LogLine {
  std::string time;
  std::string level;  // debug, info, warn or error.
  std::string component;
  std::string id;  // Of a connection or a request; may be empty.
  std::string message;

  std::string as_text() const;
  std::string as_json() const;
};

// Nullopt for what is no such line.
std::optional<LogLine> parse_log_line(const std::string& line);

}  // namespace halogen::cli
