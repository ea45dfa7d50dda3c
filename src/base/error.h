// error.h: how failures travel.
//
// Throw Error when this request cannot go on: it is caught once per request, connection or job, and
// logged there and nowhere else. CHECK states what only our own bug can break; it is on in release.
// Bytes from disk or network are never CHECKed, they are Errc::corrupt. die() is for a failed fsync
// or a lost invariant on disk: recovery at restart is tested, going on is not.
#pragma once
#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace halogen {

enum class Errc {
  invalid_argument,   // The caller asked for something that makes no sense.
  not_found,          // No such object.
  already_exists,     // An object of that name exists.
  conflict,           // The object is in a state that forbids this now.
  permission_denied,  // The caller may not do this.
  timed_out,          // The deadline passed.
  unavailable,        // A peer or a resource is not there now; trying later may help.
  gone,               // It existed, but history before the horizon has been dropped.
  fenced,             // A newer term or generation has taken over.
  corrupt,            // Bytes from disk or network are not what they must be.
  io,                 // The operating system refused (disk full, permissions, ...).
  cancelled,          // We are shutting down, or the caller left.
  internal,           // Anything else; a bug if it is ever seen.
};

std::string_view errc_name(Errc code);

class Error : public std::runtime_error {
 public:
  template <typename... Args>
  Error(Errc code, fmt::format_string<Args...> format, Args&&... args)
      : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)), code_(code) {}

  Errc code() const { return code_; }

 private:
  Errc code_;
};

// An Errc::io error with errno's text: `<what>: No space left on device`.
Error system_error(int saved_errno, std::string_view what);

[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view message);

// Logs and ends the process at once, with no destructors run.
[[noreturn]] void die(std::string_view message);

}  // namespace halogen

#define CHECK(condition, ...)                                                                 \
  do {                                                                                        \
    if (!(condition)) [[unlikely]]                                                            \
      ::halogen::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
