#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>

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

void reserve_room(const std::string&, std::FILE* file) {
  struct stat info{};
  if (::fstat(::fileno(file), &info) != 0) return;
  // Where the file system cannot, lines are lost while it is full.
  (void)::fallocate(::fileno(file), FALLOC_FL_KEEP_SIZE, info.st_size, kReserve);
}

std::shared_ptr<spdlog::sinks::sink> make_file_sink(const std::string& file, size_t file_limit) {
  spdlog::file_event_handlers handlers;
  handlers.after_open = reserve_room;
  return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(file, file_limit, kOldFiles, false,
                                                                handlers);
}

std::shared_ptr<spdlog::logger> make_logger(Level level, const std::string& file,
                                            size_t file_limit) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = make_file_sink(file, file_limit);
  }
  auto logger = std::make_shared<spdlog::logger>("halogen", sink);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %v", spdlog::pattern_time_type::utc);
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

}  // namespace

void init(Level level, const std::string& file, size_t file_limit) {
  current() = make_logger(level, file, file_limit);
  current_level = level;
}

bool enabled(Level level) { return level >= current_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view component, std::string_view message) {
  current()->log(spd_level(level), "{} [{}] {}", level_name(level), component, message);
}

void flush() { current()->flush(); }

}  // namespace halogen::log
