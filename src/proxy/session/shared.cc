#include "proxy/session/shared.h"

namespace halogen::proxy {
int LogLimit::admit() {
  MutexLock lock(mutex_);
  auto now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    lines_ = 0;
  }
  if (lines_ >= kPerSecond) {
    held_back_++;
    return -1;
  }
  lines_++;
  return std::exchange(held_back_, 0);
}

Shared::Shared(ProxyOptions the_options, Endpoints& the_endpoints, const CertificateFiles& files,
               std::string the_secret)
    : options(std::move(the_options)),
      endpoints(the_endpoints),
      tls(files),
      secret(std::move(the_secret)),
      auth_limits(options.auth_limits),
      password_checks(options.password_checks),
      held_bytes(options.held_bytes),
      descriptors(options.max_descriptors) {}

}  // namespace halogen::proxy
