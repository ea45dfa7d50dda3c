// Notifications: whose they are, and when the client is told.
#include "proxy/session/session.h"

namespace halogen::proxy {

ListeningPlace Session::listening_place() const {
  const Reported& view = *talk_->view();
  auto encoding = view.find("client_encoding");
  return {login_.route.endpoint, login_.database(),
          encoding == view.end() ? "UTF8" : encoding->second};
}

void Session::attribute_notifications(const Server& server) {
  std::optional<uint64_t> number = talk_->take_notified();
  if (!number || !server_.key()) return;
  listening_.has_notified(login_.database(), {server.cancel_target->key.pid, *number},
                          server_.key()->pid);
}

Task<void> Session::settle_listening() {
  co_await listening_.settle(listening_place(), talk_->state()->listen);
  talk_->release();
}

// As Postgres does it: between transactions, never within.
void Session::tell_notifications() {
  bool can =
      !talk_->attached() || (talk_->nothing_under_way() && talk_->transaction_status() == 'I');
  if (!listening_.has_news() || !can || client_.is_telling() || state_ != State::active) return;
  // A client that is gone is noticed by those who wait for it.
  worker_.loop.spawn(tell_now(), [self = shared_from_this()](const std::exception_ptr&) {});
}

Task<void> Session::tell_now() {
  std::string news = listening_.take_news();
  co_await tell(news);  // Which looks for more.
}

}  // namespace halogen::proxy
