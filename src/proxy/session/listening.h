// listening.h: notifications for one client: who hears them for it, and what it has yet to be told.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proxy/pubsub/listeners.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class Listening {
 public:
  struct Calls {
    std::function<bool()> is_active;              // Of the session: it can be told something.
    std::function<void()> come;                   // There is something to be told.
    std::function<void(const Refused&)> dismiss;  // It would miss something: the session must end.
  };
  Listening(ClientSide& client, Calls calls) : client_(client), calls_(std::move(calls)) {}
  ~Listening() { leave(); }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  // A transaction of the client's own notified: by its backend, told as from `client_pid`.
  void has_notified(const std::string& database, const NotifyingTransaction& transaction,
                    uint32_t client_pid);
  // Before the client is told that the server is ready for the next query: what it listens to is
  // heard, and what it has notified itself has come back. Throws cancelled.
  Task<void> settle(const ListeningPlace& place, const std::vector<std::string>& channels);
  void leave();

  bool has_news() const { return !inbox_.empty(); }
  // Messages for the client; "" if there are none.
  std::string take_news() { return inbox_.take(); }

 private:
  ListenerPtr make_listener();
  Task<void> follow(const ListeningPlace& place, const std::vector<std::string>& channels,
                    Deadline deadline);
  Task<void> hear_oneself(Deadline deadline);
  void notified(const std::vector<MessagePtr>& messages);
  void end_deaf();

  ClientSide& client_;
  const Calls calls_;
  ListenerPtr listener_;
  std::optional<ListeningPlace> at_;
  std::vector<std::string> heard_for_;       // The channels that `listener_` hears.
  std::optional<NotifyingTransaction> own_;  // The client's last transaction that notified.
  NotificationInbox inbox_;
};

}  // namespace halogen::proxy
