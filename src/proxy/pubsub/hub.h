// hub.h: one database's listening connection. See listeners.h. Private to it.
#pragma once
#include <optional>

#include "proxy/pubsub/listeners.h"

namespace halogen::proxy {

class Hub : public std::enable_shared_from_this<Hub> {
 public:
  Hub(PoolKey key, std::shared_ptr<Worker> worker) : key_(std::move(key)), worker_(worker) {}

  // From any thread.
  void listen(const ListenerPtr& listener, const std::vector<std::string>& channels);
  void compute_is(const ComputeAddress& address);
  void ready(uint64_t start, std::function<void()> done);
  void stop();

 private:
  struct Heard {
    std::weak_ptr<Listener> listener;
    std::vector<std::string> channels;
    bool confirmed = false;
  };
  using Callbacks = std::vector<std::function<void()>>;

  void poke();
  Task<void> run(std::shared_ptr<Hub> self);
  // What is to be said next; nullopt if there is nothing to do before something changes.
  std::optional<std::string> next_query();
  Task<bool> connect();
  Task<void> hear();
  bool take(const wire::Message& message, std::string_view whole);
  void dispatch(const wire::Message& message, std::string_view whole);
  void settled();
  void lost();
  std::set<std::string> wanted() REQUIRES(mutex_);

  const PoolKey key_;
  const std::weak_ptr<Worker> worker_;
  Mutex mutex_;
  std::vector<Heard> heard_ GUARDED_BY(mutex_);
  std::optional<ComputeAddress> address_ GUARDED_BY(mutex_);
  std::vector<std::pair<uint64_t, std::function<void()>>> waiting_ GUARDED_BY(mutex_);
  uint64_t failed_start_ GUARDED_BY(mutex_) = 0;  // Not tried again.
  uint64_t ready_start_ GUARDED_BY(mutex_) = 0;   // Listened to, once.
  bool running_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;

  // The worker's own.
  ServerPtr server_;
  Event* event_ = nullptr;  // While run() is.
  std::set<std::string> listening_;
  std::set<std::string> asked_;  // What listening_ will be when the answer is there.
  bool answer_due_ = false;
};

}  // namespace halogen::proxy
