#include "base/error.h"

#include <cstdlib>
#include <cstring>

#include "base/log.h"

namespace halogen {

std::string_view errc_name(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::not_found:
      return "not_found";
    case Errc::already_exists:
      return "already_exists";
    case Errc::conflict:
      return "conflict";
    case Errc::permission_denied:
      return "permission_denied";
    case Errc::timed_out:
      return "timed_out";
    case Errc::unavailable:
      return "unavailable";
    case Errc::gone:
      return "gone";
    case Errc::fenced:
      return "fenced";
    case Errc::corrupt:
      return "corrupt";
    case Errc::io:
      return "io";
    case Errc::cancelled:
      return "cancelled";
    case Errc::internal:
      return "internal";
  }
  return "unknown";
}

Error system_error(int saved_errno, std::string_view what) {
  return Error(Errc::io, "{}: {}", what, std::strerror(saved_errno));
}

void check_failed(const char* file, int line, const char* condition, std::string_view message) {
  die(fmt::format("{}:{}: check failed: {} {}", file, line, condition, message));
}

void die(std::string_view message) {
  log::write(log::Level::error, "fatal", message);
  log::flush();
  std::abort();
}

}  // namespace halogen
