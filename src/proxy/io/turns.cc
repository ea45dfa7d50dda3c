#include "proxy/io/turns.h"

#include <algorithm>

namespace halogen::proxy {

void Turns::enter(Ticket* ticket) {
  if (running_) {
    waiting_[ticket->key_].push_back(ticket);
    return;
  }
  running_ = true;
  last_ = ticket->key_;
  ticket->come_ = true;
  loop_.spawn(run());
}

void Turns::leave(Ticket* ticket) {
  auto line = waiting_.find(ticket->key_);
  std::erase(line->second, ticket);
  if (line->second.empty()) waiting_.erase(line);
}

size_t Turns::waiting() const {
  size_t count = 0;
  for (const auto& [key, line] : waiting_) count += line.size();
  return count;
}

// The first in line of the key behind the last one.
Turns::Ticket* Turns::next() {
  auto line = waiting_.upper_bound(last_);
  if (line == waiting_.end()) line = waiting_.begin();
  last_ = line->first;
  Ticket* ticket = line->second.front();
  line->second.pop_front();
  if (line->second.empty()) waiting_.erase(line);
  return ticket;
}

Task<void> Turns::run() {
  while (true) {
    co_await loop_.next_round();
    if (waiting_.empty()) break;
    Ticket* ticket = next();
    ticket->come_ = true;
    ticket->called_();
  }
  running_ = false;
}

}  // namespace halogen::proxy
