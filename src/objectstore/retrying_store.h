// retrying_store.h: a store whose calls are tried again while it is `unavailable`, a few times with
// growing pauses; and counted.
#pragma once
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "objectstore/object_store.h"

namespace halogen::objectstore {

class RetryingStore : public ObjectStore {
 public:
  struct Options {
    int attempts = 5;
    std::chrono::milliseconds first_pause{200};  // Doubles, half of it by chance.
    std::chrono::milliseconds last_pause{5000};
  };

  explicit RetryingStore(std::shared_ptr<ObjectStore> store) : RetryingStore(store, Options()) {}
  RetryingStore(std::shared_ptr<ObjectStore> store, Options options);

  // Ends pauses, and from now on no call is tried again: they throw `cancelled` instead.
  void cancel();

  void put(const std::string& key, const Content& content) override;
  bool put_if_absent(const std::string& key, const Content& content) override;
  std::string get(const std::string& key, Range range) override;
  std::vector<ObjectInfo> list(const std::string& prefix) override;
  void remove(const std::string& key) override;
  std::string name() const override { return store_->name(); }

 private:
  template <typename Call>
  auto attempt(const char* operation, Call call);
  void pause(std::chrono::milliseconds time);

  const std::shared_ptr<ObjectStore> store_;
  const Options options_;
  Mutex mutex_;
  CondVar changed_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
};

}  // namespace halogen::objectstore
