// login_counts.h: how many clients are logged in as a role, and to a database, for the limits that
// Postgres puts on their connections. It counts servers, which clients share; we count clients.
//
// Threads: any.
#pragma once
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace halogen::proxy {

class LoginCounts {
 public:
  struct Place {
    enum class Kind { role, database };

    std::string endpoint;
    Kind kind;
    uint32_t oid;

    auto operator<=>(const Place&) const = default;
  };
  using Counts = std::map<Place, int>;

  // Counts a client as long as it lives; not longer than the LoginCounts.
  class Seat {
   public:
    Seat() = default;
    Seat(LoginCounts& counts, Counts::iterator place) : counts_(&counts), place_(place) {}
    ~Seat() { give_back(); }
    Seat(Seat&& other) noexcept
        : counts_(std::exchange(other.counts_, nullptr)), place_(other.place_) {}
    Seat& operator=(Seat&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      counts_ = std::exchange(other.counts_, nullptr);
      place_ = other.place_;
      return *this;
    }

   private:
    void give_back();
    LoginCounts* counts_ = nullptr;
    Counts::iterator place_;
  };

  // nullopt if `most` are there already; -1: there is no limit.
  std::optional<Seat> take(const Place& place, int most);

 private:
  void give_back(Counts::iterator place);

  Mutex mutex_;
  Counts counts_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
