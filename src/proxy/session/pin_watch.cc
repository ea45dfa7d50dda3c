#include "proxy/session/pin_watch.h"

#include "base/log.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

}  // namespace

void PinWatch::keeps(std::string_view reason) {
  const std::string& endpoint = client_.login.route.endpoint;
  if (reason_.empty())
    bound_ = client_.shared.endpoints.pool_settings(endpoint).pinned_idle_timeout;
  set_reason(reason);
  unused_since_ = steady_clock::now();
  auto end = *unused_since_ + bound_;
  if (bound_.count() > 0 && end < timer_.when()) look_at(end);
}

void PinWatch::uses() {
  unused_since_.reset();
  lender_.reset();
}

void PinWatch::releases() { set_reason({}); }

void PinWatch::set_reason(std::string_view reason) {
  if (reason_ == reason) return;
  if (!reason_.empty()) {
    client_.shared.metrics.pinned(reason_).sub();
    uses();
  }
  reason_ = reason;
  if (reason_.empty()) return;
  client_.shared.metrics.pinned(reason_).add();
  log::Trace trace(client_.id_text());
  logger.debug("client {} of {}: keeps its server: {}", client_.peer, client_.login.route.endpoint,
               reason_);
}

// The timer stays set through statements, and looks when it fires.
void PinWatch::look_at(steady_clock::time_point when) {
  timer_.set(when, [this] { end_if_due(); });
}

void PinWatch::end_if_due() {
  if (!unused_since_ || bound_.count() == 0) return;
  auto end = *unused_since_ + bound_;
  if (steady_clock::now() < end) return look_at(end);
  client_.log_end(
      fmt::format("held its compute for {} s without using it ({}): its server is closed",
                  bound_.count() / 1000, reason_));
  has_expired_ = true;
  expired_();
}

}  // namespace halogen::proxy
