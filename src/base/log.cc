#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <utility>

#include "base/log_trace.h"

namespace halogen::log {
namespace {

spdlog::level::level_enum spd_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// So that what there is to say about a full disk has room on it.
constexpr off_t kReserve = 1 << 20;

// The group may read logs (they hold no secrets); whatever the umask, nobody else.
constexpr mode_t kMode = 0640;

void prepare_file(const std::string&, std::FILE* file) {
  (void)::fchmod(::fileno(file), kMode);
  struct stat info{};
  if (::fstat(::fileno(file), &info) != 0) return;
  // Where the file system cannot, lines are lost while it is full.
  (void)::fallocate(::fileno(file), FALLOC_FL_KEEP_SIZE, info.st_size, kReserve);
}

std::shared_ptr<spdlog::sinks::sink> make_file_sink(const std::string& file, size_t file_limit) {
  spdlog::file_event_handlers handlers;
  handlers.after_open = prepare_file;
  return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, file_limit, kOldFiles, false,
                                                                handlers);
}

Format current_format = Format::text;

std::shared_ptr<spdlog::logger> make_logger(Level level, const std::string& file,
                                            size_t file_limit) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = make_file_sink(file, file_limit);
  }
  auto logger = std::make_shared<spdlog::logger>("halogen", sink);
  logger->set_pattern(current_format == Format::json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ",%v})"
                                                     : "%Y-%m-%dT%H:%M:%S.%fZ %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(spd_level(level));
  logger->flush_on(spdlog::level::info);
  return logger;
}

// Never destroyed: threads may log while the process exits.
std::shared_ptr<spdlog::logger>& current() {
  static auto* logger = new std::shared_ptr<spdlog::logger>(make_logger(Level::info, "", 0));
  return *logger;
}

std::atomic<Level> current_level{Level::info};

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug:
      return "DEBUG";
    case Level::info:
      return "INFO ";
    case Level::warn:
      return "WARN ";
    case Level::error:
      return "ERROR";
  }
  return "?";
}

std::string_view json_level_name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
  }
  return "unknown";
}

thread_local std::string current_trace;

// The size of the UTF-8 character that `text` begins with; 0 if it begins with none (RFC 3629).
size_t utf8_size(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const unsigned char second = byte(1);
  bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  bool surrogate = first == 0xED && second > 0x9F;
  bool too_large = first == 0xF4 && second > 0x8F;
  return overlong || surrogate || too_large ? 0 : size;
}

// Whether a terminal shows this character in its place and does nothing else with it.
bool is_shown(std::string_view character) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) >= 0x20 && byte(0) != 0x7F && byte(0) != '\\';
  if (character.size() == 2) return byte(0) != 0xC2 || byte(1) >= 0xA0;  // U+0080 to U+009F.
  if (character.size() != 3 || byte(0) != 0xE2) return true;
  bool separator_or_direction = byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE;
  bool isolate = byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;
  return !separator_or_direction && !isolate;
}

void append_escaped(std::string& out, std::string_view character) {
  for (char c : character) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\\')
      out += "\\\\";
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
}

// Of a whole character of at most three bytes.
unsigned code_point(std::string_view character) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0);
  if (character.size() == 2) return (byte(0) & 0x1Fu) << 6 | (byte(1) & 0x3Fu);
  return (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
}

std::string text_line(Level level, std::string_view component, std::string_view message) {
  if (current_trace.empty())
    return fmt::format("{} [{}] {}", level_name(level), component, escaped(message));
  return fmt::format("{} [{}] <{}> {}", level_name(level), component, escaped(current_trace),
                     escaped(message));
}

std::string json_line(Level level, std::string_view component, std::string_view message) {
  std::string line = fmt::format("\"level\":\"{}\",\"component\":{}", json_level_name(level),
                                 json_string(component));
  if (!current_trace.empty()) line += ",\"id\":" + json_string(current_trace);
  return line + ",\"message\":" + json_string(message);
}

}  // namespace

Trace::Trace(std::string id) : before_(std::exchange(current_trace, std::move(id))) {}
Trace::~Trace() { current_trace = std::move(before_); }

const std::string& trace_id() { return current_trace; }

void set_format(Format format) { current_format = format; }

std::string json_string(std::string_view text) {
  std::string out = "\"";
  out.reserve(text.size() + 2);
  while (!text.empty()) {
    const size_t size = utf8_size(text);
    std::string_view character = text.substr(0, size == 0 ? 1 : size);
    text.remove_prefix(character.size());
    if (size == 0)
      out += "\\ufffd";
    else if (character == "\"" || character == "\\")
      out += "\\" + std::string(character);
    else if (is_shown(character))
      out += character;
    else
      out += fmt::format("\\u{:04x}", code_point(character));
  }
  return out + "\"";
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    size_t size = utf8_size(text);
    std::string_view character = text.substr(0, size == 0 ? 1 : size);
    if (size != 0 && is_shown(character))
      out += character;
    else
      append_escaped(out, character);
    text.remove_prefix(character.size());
  }
  return out;
}

void init(Level level, const std::string& file, size_t file_limit) {
  current() = make_logger(level, file, file_limit);
  current_level = level;
}

bool enabled(Level level) { return level >= current_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view component, std::string_view message) {
  const spdlog::level::level_enum spd = spd_level(level);
  if (!current()->should_log(spd)) return;
  current()->log(spd, "{}",
                 current_format == Format::json ? json_line(level, component, message)
                                                : text_line(level, component, message));
}

void flush() { current()->flush(); }

}  // namespace halogen::log
