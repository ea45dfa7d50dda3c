#include "proxy/session/listening.h"

#include "base/error.h"

namespace halogen::proxy {
namespace {

// For the connection that listens to have what it was asked for.
constexpr std::chrono::seconds kListenTime{10};

}  // namespace

ListenerPtr Listening::make_listener() {
  auto listener = std::make_shared<Listener>();
  listener->notified =
      client_.later([this](const std::vector<MessagePtr>& messages) { notified(messages); });
  listener->confirmed = client_.later([this](const std::vector<std::string>& channels) {
    heard_for_ = channels;
    client_.signal();
  });
  listener->missed = client_.later([this] { end_deaf(); });
  return listener;
}

// Those that listen are to know whose the transaction was.
void Listening::has_notified(const std::string& database, const NotifyingTransaction& transaction,
                             uint32_t client_pid) {
  own_ = transaction;
  client_.shared.listeners.notified(client_.login.route.endpoint, database, transaction,
                                    client_pid);
}

Task<void> Listening::settle(const ListeningPlace& place,
                             const std::vector<std::string>& channels) {
  Deadline deadline = Deadline::after(kListenTime);
  if (channels != heard_for_) co_await follow(place, channels, deadline);
  if (own_ && !heard_for_.empty()) co_await hear_oneself(deadline);
  own_.reset();
}

Task<void> Listening::follow(const ListeningPlace& place, const std::vector<std::string>& channels,
                             Deadline deadline) {
  if (!listener_) listener_ = make_listener();
  if (at_ && *at_ != place) leave();
  at_ = place;
  client_.shared.listeners.listen(*at_, client_.worker, listener_, client_.login.user, channels);
  if (channels.empty()) leave();
  while (heard_for_ != channels && !deadline.passed() && !client_.must_end())
    co_await client_.wait_for_event(deadline);
  if (client_.must_end()) throw Error(Errc::cancelled, "cancelled");
  if (heard_for_ != channels) end_deaf();
}

Task<void> Listening::hear_oneself(Deadline deadline) {
  auto told = std::make_shared<bool>(false);
  client_.shared.listeners.when_told(*at_, *own_, client_.later([this, told] {
    *told = true;
    client_.signal();
  }));
  while (!*told && !deadline.passed() && !client_.must_end())
    co_await client_.wait_for_event(deadline);
  if (client_.must_end()) throw Error(Errc::cancelled, "cancelled");
}

void Listening::leave() {
  if (!at_) return;
  client_.shared.listeners.listen(*at_, client_.worker, listener_, client_.login.user, {});
  at_.reset();
  heard_for_.clear();
}

void Listening::notified(const std::vector<MessagePtr>& messages) {
  if (client_.is_dismissed() || !calls_.is_active()) return;
  if (inbox_.put(messages)) return calls_.come();
  inbox_ = {};
  calls_.dismiss(Refused(
      "53400",
      fmt::format("terminating connection: {} MB of notifications have come that the client did "
                  "not read",
                  NotificationInbox::kMostBytes >> 20),
      "Read notifications as they come, or UNLISTEN."));
  client_.log_end("listens and does not read: ended");
}

// Better than to be waited on in vain.
void Listening::end_deaf() {
  if (client_.is_dismissed()) return;
  calls_.dismiss(
      Refused("57P01", "terminating connection: notifications may have been missed",
              "The server connection that listens was lost. Connect again, LISTEN, and look at the "
              "tables that the notifications are about."));
}

}  // namespace halogen::proxy
