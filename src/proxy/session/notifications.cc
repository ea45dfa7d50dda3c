// Notifications: who hears them for this client, and when it is told.
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

// For the connection that listens to have what it was asked for.
constexpr std::chrono::seconds kListenTime{10};

}  // namespace

ListeningPlace Session::listening_place() const {
  const Reported& view = *talk_->view();
  auto encoding = view.find("client_encoding");
  return {login_.route.endpoint, login_.database(),
          encoding == view.end() ? "UTF8" : encoding->second};
}

ListenerPtr Session::make_listener() {
  auto post = [worker = worker_.weak_from_this(), weak = weak_from_this()](auto work) {
    std::shared_ptr<Worker> alive = worker.lock();
    if (!alive) return;
    alive->loop.post([weak, work = std::move(work)] {
      if (auto session = weak.lock(); session && session->talk_) work(*session);
    });
  };
  auto listener = std::make_shared<Listener>();
  listener->notified = [post](const std::vector<MessagePtr>& messages) {
    post([messages](Session& session) { session.notified(messages); });
  };
  listener->confirmed = [post](const std::vector<std::string>& channels) {
    post([channels](Session& session) {
      session.heard_for_ = channels;
      session.client_.signal();
    });
  };
  listener->missed = [post] { post([](Session& session) { session.end_deaf(); }); };
  return listener;
}

// Those that listen are to know whose the transaction was.
void Session::attribute_notifications(const Server& server) {
  std::optional<uint64_t> number = talk_->take_notified();
  if (!number || !cancel_key_) return;
  own_ = {server.cancel_target->key.pid, *number};
  shared_.listeners.notified(login_.route.endpoint, login_.database(), *own_, cancel_key_->pid);
}

// Before the client is told that the server is ready for the next query: what it listens to is
// heard, and what it has notified itself has come back.
Task<void> Session::settle_listening() {
  Deadline deadline = Deadline::after(kListenTime);
  if (talk_->state()->listen != heard_for_) co_await follow_channels(deadline);
  if (own_ && !heard_for_.empty()) co_await hear_oneself(deadline);
  own_.reset();
  talk_->release();
}

Task<void> Session::follow_channels(Deadline deadline) {
  const std::vector<std::string> channels = talk_->state()->listen;
  if (!listener_) listener_ = make_listener();
  if (listening_at_ && *listening_at_ != listening_place()) leave_listeners();
  listening_at_ = listening_place();
  shared_.listeners.listen(*listening_at_, worker_, listener_, login_.user, channels);
  if (channels.empty()) leave_listeners();
  while (heard_for_ != channels && !deadline.passed() && !client_.must_end())
    co_await client_.wait_for_event(deadline);
  if (client_.must_end()) throw Error(Errc::cancelled, "cancelled");
  if (heard_for_ != channels) end_deaf();
}

Task<void> Session::hear_oneself(Deadline deadline) {
  auto told = std::make_shared<bool>(false);
  shared_.listeners.when_told(*listening_at_, *own_,
                              [worker = worker_.weak_from_this(), weak = weak_from_this(), told] {
                                std::shared_ptr<Worker> alive = worker.lock();
                                if (!alive) return;
                                alive->loop.post([weak, told] {
                                  *told = true;
                                  if (auto session = weak.lock()) session->client_.signal();
                                });
                              });
  while (!*told && !deadline.passed() && !client_.must_end())
    co_await client_.wait_for_event(deadline);
  if (client_.must_end()) throw Error(Errc::cancelled, "cancelled");
}

void Session::leave_listeners() {
  if (!listening_at_) return;
  shared_.listeners.listen(*listening_at_, worker_, listener_, login_.user, {});
  listening_at_.reset();
  heard_for_.clear();
}

void Session::notified(const std::vector<MessagePtr>& messages) {
  if (client_.is_dismissed() || state_ != State::active) return;
  if (notifications_.put(messages)) return tell_notifications();
  notifications_ = {};
  end_with(Refused("53400",
                   fmt::format("terminating connection: {} MB of notifications have come that the "
                               "client did not read",
                               NotificationInbox::kMostBytes >> 20),
                   "Read notifications as they come, or UNLISTEN."));
  client_.log_end("listens and does not read: ended");
}

// Better than to be waited on in vain.
void Session::end_deaf() {
  if (client_.is_dismissed()) return;
  end_with(Refused("57P01", "terminating connection: notifications may have been missed",
                   "The server connection that listens was lost. Connect again, LISTEN, and look "
                   "at the tables that the notifications are about."));
}

// As Postgres does it: between transactions, never within.
void Session::tell_notifications() {
  bool can =
      !talk_->attached() || (talk_->nothing_under_way() && talk_->transaction_status() == 'I');
  if (notifications_.empty() || !can || telling_ || state_ != State::active) return;
  // A client that is gone is noticed by those who wait for it.
  worker_.loop.spawn(tell_now(), [self = shared_from_this()](const std::exception_ptr&) {});
}

Task<void> Session::tell_now() {
  std::string notifications = notifications_.take();
  co_await tell(notifications);  // Which looks for more.
}

}  // namespace halogen::proxy
