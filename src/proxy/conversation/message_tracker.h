// message_tracker.h: where in a stream of protocol messages we are, without keeping any of it.
//
// Of either direction, from after the startup packet on. Costs a few ns per message.
#pragma once
#include <cstdint>
#include <string_view>

namespace halogen::proxy {

class MessageTracker {
 public:
  void feed(std::string_view bytes);

  // Every message begun is complete.
  bool at_boundary() const { return left_ == 0 && header_size_ == 0 && !lost_; }
  // Of the last message whose header is complete; 0 before the first.
  char last_type() const { return type_; }
  // Of the last ReadyForQuery: 'I', 'T', 'E'; 0 before the first.
  char transaction_status() const { return status_; }
  // A length that cannot be: nothing said here means anything any more.
  bool lost() const { return lost_; }

 private:
  void begin(const char* header);

  uint64_t left_ = 0;  // Of the current message's body.
  char type_ = 0;
  char status_ = 0;
  bool lost_ = false;
  uint8_t header_size_ = 0;  // Of a header that came in pieces.
  char header_[5] = {};
};

}  // namespace halogen::proxy
