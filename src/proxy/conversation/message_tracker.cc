#include "proxy/conversation/message_tracker.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace halogen::proxy {

void MessageTracker::begin(const char* header) {
  type_ = header[0];
  uint32_t length = byteswap(load<uint32_t>(header + 1));
  lost_ = length < 4;
  left_ = lost_ ? 0 : length - 4;
}

void MessageTracker::feed(std::string_view bytes) {
  const char* at = bytes.data();
  const char* end = at + bytes.size();
  while (at < end && !lost_) {
    auto rest = static_cast<uint64_t>(end - at);
    if (left_ > 0) {
      uint64_t taken = std::min(left_, rest);
      left_ -= taken;
      at += taken;
      if (type_ == 'Z' && left_ == 0) status_ = at[-1];
    } else if (header_size_ == 0 && rest >= sizeof header_) {
      begin(at);
      at += sizeof header_;
    } else {
      header_[header_size_++] = *at++;
      if (header_size_ < sizeof header_) continue;
      header_size_ = 0;
      begin(header_);
    }
  }
}

}  // namespace halogen::proxy
