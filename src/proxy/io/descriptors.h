// descriptors.h: how many file descriptors there are for clients, and what is done without any.
//
// The process has one limit for everything. What storage, computes and the log need is set aside;
// the rest is for clients and their servers, which Stream counts. turn_away() is for the thread
// that accepts, the rest for any.
#pragma once
#include <cstddef>
#include <string_view>

#include "base/file.h"

namespace halogen::proxy {

class Descriptors {
 public:
  // Raises the process' limit as far as the system lets it, and says in the log who fits.
  // `at_most` other than 0 counts in place of that limit.
  explicit Descriptors(size_t at_most);

  size_t limit() const { return limit_; }
  // For clients that have a server each, as direct ones do.
  size_t clients() const { return for_streams_ / kEach; }
  // Another client, with its server, would not fit.
  bool full() const;

  // Where accept() fails for want of a descriptor, the client would wait in the queue for ever, and
  // the listener be ready all the time. One descriptor is kept to take such a client and tell it.
  // False if there was none to take.
  bool turn_away(int listener, std::string_view message);

 private:
  static constexpr size_t kEach = 2;

  size_t limit_ = 0;
  size_t for_streams_ = 0;
  UniqueFd reserve_;
};

// Sends all of a short message to a new socket, or nothing, and ends our side. What the client has
// sent by then is taken, so that closing does not send a reset that overtakes the message.
void send_last_words(int socket, std::string_view message);

}  // namespace halogen::proxy
