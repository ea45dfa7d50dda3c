#include "proxy/session/byte_budget.h"

#include <utility>

namespace halogen::proxy {

ByteBudget::ByteBudget(Limits limits, const std::string& metric, const std::string& help)
    : limits_(limits), gauge_(metrics::gauge(metric, help)) {}

size_t ByteBudget::held() const {
  MutexLock lock(mutex_);
  return held_;
}

bool ByteBudget::take(const std::string& endpoint, size_t bytes) {
  MutexLock lock(mutex_);
  auto found = by_endpoint_.find(endpoint);
  size_t before = found == by_endpoint_.end() ? 0 : found->second;
  if (bytes > limits_.endpoint - before || bytes > limits_.all - held_) return false;
  by_endpoint_[endpoint] = before + bytes;
  gauge_.set(static_cast<double>(held_ += bytes));
  return true;
}

void ByteBudget::give_back(const std::string& endpoint, size_t bytes) {
  MutexLock lock(mutex_);
  gauge_.set(static_cast<double>(held_ -= bytes));
  auto found = by_endpoint_.find(endpoint);
  if ((found->second -= bytes) == 0) by_endpoint_.erase(found);
}

bool ByteBudget::Share::take(const std::string& endpoint, size_t bytes) {
  give_back();
  if (bytes == 0 || !budget_.take(endpoint, bytes)) return bytes == 0;
  endpoint_ = endpoint;
  bytes_ = bytes;
  return true;
}

void ByteBudget::Share::give_back() {
  if (bytes_ > 0) budget_.give_back(endpoint_, std::exchange(bytes_, 0));
}

}  // namespace halogen::proxy
