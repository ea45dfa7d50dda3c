#include "proxy/io/refused.h"

namespace halogen::proxy {

Refused::Refused(std::string_view sqlstate, std::string_view message, std::string_view hint,
                 Errc code)
    : Error(code, "{}", message) {
  fields_.severity = "FATAL";
  fields_.sqlstate = sqlstate;
  fields_.message = message;
  fields_.hint = hint;
}

Refused::Refused(wire::ErrorFields fields)
    : Error(Errc::permission_denied, "{}", fields.message), fields_(std::move(fields)) {
  fields_.severity = "FATAL";
}

Refused too_many_newcomers() {
  return Refused("53300", "too many connections are waiting to be authenticated",
                 "Try again shortly.");
}

Refused spent_all() {
  return Refused("53300", "too many connections from this address that did not log in",
                 "Wait a minute. Mind what connects and leaves, such as health checks.");
}

Refused no_descriptors() {
  return Refused("53300", "too many clients already: the proxy is out of file descriptors",
                 "Close connections, or raise the limit of open files of the process that starts "
                 "Halogen (`ulimit -Hn`, or LimitNOFILE= of its service), then restart.");
}

}  // namespace halogen::proxy
