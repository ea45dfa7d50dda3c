#include "proxy/auth/login_counts.h"

namespace halogen::proxy {

void LoginCounts::Seat::give_back() {
  if (counts_ != nullptr) std::exchange(counts_, nullptr)->give_back(place_);
}

std::optional<LoginCounts::Seat> LoginCounts::take(const Place& place, int most) {
  MutexLock lock(mutex_);
  auto found = counts_.try_emplace(place, 0).first;
  if (most >= 0 && found->second >= most) {
    if (found->second == 0) counts_.erase(found);
    return std::nullopt;
  }
  found->second++;
  return Seat(*this, found);
}

void LoginCounts::give_back(Counts::iterator place) {
  MutexLock lock(mutex_);
  if (--place->second == 0) counts_.erase(place);
}

}  // namespace halogen::proxy
