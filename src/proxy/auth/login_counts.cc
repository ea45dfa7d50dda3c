#include "proxy/auth/login_counts.h"

namespace halogen::proxy {

void LoginCounts::Seat::give_back() {
  if (counts_ != nullptr) std::exchange(counts_, nullptr)->give_back(place_);
}

std::optional<LoginCounts::Seat> LoginCounts::take(const Place& place, int most) {
  MutexLock lock(mutex_);
  int& count = counts_[place];
  if (most >= 0 && count >= most) {
    if (count == 0) counts_.erase(place);
    return std::nullopt;
  }
  count++;
  return Seat(*this, place);
}

void LoginCounts::give_back(const Place& place) {
  MutexLock lock(mutex_);
  auto found = counts_.find(place);
  if (--found->second == 0) counts_.erase(found);
}

}  // namespace halogen::proxy
