#include "objectstore/retrying_store.h"

#include <algorithm>

#include "base/deadline.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/metrics.h"

namespace halogen::objectstore {
namespace {

metrics::Counter requests(const char* operation) {
  return metrics::counter("halogen_objectstore_requests_total", "Requests to the object store.",
                          {{"operation", operation}});
}

metrics::Counter errors(Errc code) {
  return metrics::counter("halogen_objectstore_errors_total",
                          "Requests to the object store that failed, each attempt.",
                          {{"error", std::string(errc_name(code))}});
}

metrics::Counter retries = metrics::counter("halogen_objectstore_retries_total",
                                            "Requests to the object store that were tried again.");
metrics::Counter put_bytes = metrics::counter("halogen_objectstore_put_bytes_total",
                                              "Bytes that were put into the object store.");
metrics::Counter get_bytes = metrics::counter("halogen_objectstore_get_bytes_total",
                                              "Bytes that were got from the object store.");

}  // namespace

RetryingStore::RetryingStore(std::shared_ptr<ObjectStore> store, Options options)
    : store_(std::move(store)), options_(options) {}

void RetryingStore::cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

void RetryingStore::pause(std::chrono::milliseconds time) {
  uint32_t chance;
  random_bytes(&chance, sizeof chance);
  const auto until = steady_clock::now() + time / 2 + time * (chance % 1000) / 2000;
  MutexLock lock(mutex_);
  while (!cancelled_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
  if (cancelled_) throw Error(Errc::cancelled, "the object store is closed");
}

template <typename Call>
auto RetryingStore::attempt(const char* operation, Call call) {
  auto time = options_.first_pause;
  for (int left = options_.attempts;; left--) {
    requests(operation).add();
    try {
      return call();
    } catch (const Error& error) {
      if (error.code() != Errc::not_found) errors(error.code()).add();
      if (error.code() != Errc::unavailable || left <= 1) throw;
    }
    retries.add();
    pause(time);
    time = std::min(time * 2, options_.last_pause);
  }
}

void RetryingStore::put(const std::string& key, const Content& content) {
  attempt("put", [&] { store_->put(key, content); });
  put_bytes.add(static_cast<double>(content.size()));
}

// An attempt whose acknowledgement was lost makes the next one fail: so who was there first is
// found out by what is there now.
bool RetryingStore::put_if_absent(const std::string& key, const Content& content) {
  bool first = true;
  const bool made = attempt("put", [&] {
    const bool repeated = !std::exchange(first, false);
    if (store_->put_if_absent(key, content)) return true;
    if (!repeated) return false;
    std::string wanted;
    content.each_piece([&](Bytes piece) { wanted.append(as_text(piece)); });
    return store_->get(key, {}) == wanted;
  });
  return made;
}

std::string RetryingStore::get(const std::string& key, Range range) {
  std::string bytes = attempt("get", [&] { return store_->get(key, range); });
  get_bytes.add(static_cast<double>(bytes.size()));
  return bytes;
}

std::vector<ObjectInfo> RetryingStore::list(const std::string& prefix) {
  return attempt("list", [&] { return store_->list(prefix); });
}

void RetryingStore::remove(const std::string& key) {
  attempt("remove", [&] { store_->remove(key); });
}

}  // namespace halogen::objectstore
