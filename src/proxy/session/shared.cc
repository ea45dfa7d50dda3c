#include "proxy/session/shared.h"

#include <algorithm>

#include "base/ids.h"

namespace halogen::proxy {
int LogLimit::admit(steady_clock::time_point now) {
  MutexLock lock(mutex_);
  double passed = std::chrono::duration<double>(now - at_).count();
  lines_ = std::min(kBurst, lines_ + passed * kPerSecond);
  at_ = now;
  if (lines_ < 1) {
    held_back_++;
    return -1;
  }
  lines_--;
  return std::exchange(held_back_, 0);
}

void LookupTimes::took(Duration time) {
  MutexLock lock(mutex_);
  times_[next_] = time;
  next_ = (next_ + 1) % times_.size();
  count_ = std::max(count_, next_);
}

LookupTimes::Duration LookupTimes::one_of() {
  uint32_t chance = 0;
  random_bytes(&chance, sizeof chance);
  MutexLock lock(mutex_);
  return times_[chance % count_];
}

Shared::Shared(ProxyOptions the_options, Endpoints& the_endpoints, const CertificateFiles& files,
               std::string the_secret)
    : options(std::move(the_options)),
      endpoints(the_endpoints),
      tls(files, {"postgresql"}),
      web_tls(files, {"h2", "http/1.1"}),
      api_tls(files, {"http/1.1"}),
      secret(std::move(the_secret)),
      auth_limits(options.auth_limits),
      work_limits(options.work_limits),
      password_checks(options.password_checks),
      held_bytes(options.held_bytes, "halogen_proxy_held_bytes",
                 "Bytes of large messages that are being held."),
      web_bytes(options.web.bytes, "halogen_proxy_web_held_bytes",
                "Bytes of large requests and answers over HTTP that are being held."),
      descriptors(options.max_descriptors) {}

}  // namespace halogen::proxy
