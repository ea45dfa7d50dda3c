// Notifications: who hears them for this client, and when it is told.
#include "proxy/session/session.h"

namespace halogen::proxy {

// The session listens to other channels than before: they are heard for it, whatever its server.
void Session::follow_channels() {
  const std::vector<std::string>& channels = talk_->state()->listen;
  if (channels == followed_) return;
  followed_ = channels;
  if (!listener_) {
    auto post = [worker = worker_.weak_from_this(), weak = weak_from_this()](auto work) {
      std::shared_ptr<Worker> alive = worker.lock();
      if (!alive) return;
      alive->loop.post([weak, work = std::move(work)] {
        if (auto session = weak.lock(); session && session->talk_) work(*session);
      });
    };
    listener_ = std::make_shared<Listener>();
    listener_->notified = [post](const std::string& message) {
      post([message](Session& session) { session.notified(message); });
    };
    listener_->confirmed = [post](const std::vector<std::string>& heard) {
      post([heard](Session& session) { session.channels_confirmed(heard); });
    };
  }
  std::string_view database = parameter("database");
  shared_.listeners.listen(
      {route_.endpoint, std::string(database.empty() ? user_ : database), user_}, worker_,
      listener_, channels);
}

void Session::channels_confirmed(const std::vector<std::string>& channels) {
  if (channels != talk_->state()->listen) return;
  talk_->heard_elsewhere(channels);
  if (!server_ || !talk_->nothing_under_way() || talk_->transaction_status() != 'I') return;
  worker_.loop.spawn(sync_server(), [self = shared_from_this()](const std::exception_ptr&) {});
}

// Has the server say again what it holds.
Task<void> Session::sync_server() {
  if (!server_ || !talk_->nothing_under_way()) co_return;
  std::string sync;
  talk_->sync(sync);
  co_await send_to_server(sync);
}

void Session::notified(const std::string& message) {
  if (talk_->was_told(message)) return;
  notifications_ += message;
  tell_notifications();
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
  std::string notifications = std::exchange(notifications_, {});
  co_await tell(notifications);
}

// What the compute's clients notify from now on must not be missed by those that listen.
Task<void> Session::listeners_ready(uint64_t start, Deadline deadline) {
  auto done = std::make_shared<bool>(false);
  shared_.listeners.ready(route_.endpoint, start,
                          [worker = worker_.weak_from_this(), weak = weak_from_this(), done] {
                            std::shared_ptr<Worker> alive = worker.lock();
                            if (!alive) return;
                            alive->loop.post([weak, done] {
                              *done = true;
                              if (auto session = weak.lock()) session->signal_event();
                            });
                          });
  while (!*done && !deadline.passed() && !must_end()) co_await wait_for_event(deadline);
}

}  // namespace halogen::proxy
