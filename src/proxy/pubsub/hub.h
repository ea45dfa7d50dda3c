// hub.h: one listening connection. See listeners.h. Private to it.
//
// Threads: ask(), is_asked() and place() from any; all else is its worker's.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <set>

#include "base/deadline.h"
#include "proxy/io/worker.h"
#include "proxy/pool/server.h"
#include "proxy/pubsub/listener.h"

namespace halogen::proxy {

class Hub : public std::enable_shared_from_this<Hub> {
 public:
  // `retire` is asked when nobody is left to listen for; if it says false, the hub is kept.
  Hub(ListeningPlace place, const std::shared_ptr<Worker>& worker,
      std::function<bool(Hub&)> retire);

  // Has the worker do it, in the order of the calls. Not done if the worker is gone.
  void ask(std::function<void(Hub&)> what);
  bool is_asked() const { return asked_for_ > 0; }
  const ListeningPlace& place() const { return place_; }

  void listen(const ListenerPtr& listener, const std::string& role,
              const std::vector<std::string>& channels);
  void notified(const NotifyingTransaction& transaction, uint32_t client_pid);
  void when_told(const NotifyingTransaction& transaction, std::function<void()> done);
  void compute_is(const ComputeAddress& address);
  void ready(uint64_t start, std::function<void()> done);
  void stop();

 private:
  struct Heard {
    std::weak_ptr<Listener> listener;
    std::string role;
    std::vector<std::string> channels;
    std::set<std::string> active;  // Those of them that have been confirmed.
    bool confirmed() const { return active.size() == channels.size(); }
  };

  void look_again();
  Task<void> run(std::shared_ptr<Hub> self);
  bool is_needed();
  Task<bool> connect();
  void connected(ServerPtr server);
  void cannot_connect(const Opened& opened);
  void try_later();
  Task<void> hear();
  bool take(const wire::Message& message, std::string_view whole);
  void tell();
  void tell_ended(const NotifyingTransaction& transaction);
  std::set<std::string> wanted();
  std::optional<std::string> next_query();
  void settled();
  void lost();
  void missed();
  void let_wait_no_more(uint64_t start);

  const ListeningPlace place_;
  const std::weak_ptr<Worker> worker_;
  const std::function<bool(Hub&)> retire_;
  std::atomic<int> asked_for_ = 0;  // What ask() has been given and is not done.

  Event changed_;
  Timer retry_;
  Timer patience_;
  std::vector<Heard> heard_;
  std::optional<ComputeAddress> address_;
  std::vector<std::pair<uint64_t, std::function<void()>>> ready_waits_;
  std::vector<std::pair<NotifyingTransaction, std::function<void()>>> told_waits_;
  bool running_ = false;
  bool stopping_ = false;

  ServerPtr server_;
  NotificationOrder order_;
  std::set<std::string> listening_;
  std::set<std::string> asked_;  // What listening_ will be when the answer is there.
  bool answer_due_ = false;
  bool told_to_go_ = false;   // By Postgres, which is stopping or ends this connection.
  uint64_t last_start_ = 0;   // That it has listened to.
  uint64_t tried_start_ = 0;  // That it could not connect to,
  int failures_ = 0;          // so often in a row.
};

}  // namespace halogen::proxy
