// login_counts.h: how many clients are logged in as a role, and to a database, for the limits that
// Postgres puts on their connections. It counts servers, which clients share; we count clients.
//
// Threads: any.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace halogen::proxy {

class LoginCounts {
 public:
  // A role or a database of an endpoint: OIDs are unique over both kinds of one.
  using Place = std::pair<std::string, uint32_t>;

  // Counts a client as long as it lives.
  class Seat {
   public:
    Seat() = default;
    Seat(LoginCounts& counts, Place place) : counts_(&counts), place_(std::move(place)) {}
    ~Seat() { give_back(); }
    Seat(Seat&& other) noexcept
        : counts_(std::exchange(other.counts_, nullptr)), place_(std::move(other.place_)) {}
    Seat& operator=(Seat&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      counts_ = std::exchange(other.counts_, nullptr);
      place_ = std::move(other.place_);
      return *this;
    }

   private:
    void give_back();
    LoginCounts* counts_ = nullptr;
    Place place_;
  };

  // nullopt if `most` are there already; -1: there is no limit.
  std::optional<Seat> take(const Place& place, int most);

 private:
  void give_back(const Place& place);

  Mutex mutex_;
  std::map<Place, int> counts_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
