// What a compute's backends notify: messages cut from the input, some of them our marks, told in
// order and each with its pid in place. Every second byte of the beginning chooses a length.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "protocol/session_state.h"
#include "proxy/pubsub/notification.h"

using namespace halogen;
using namespace halogen::proxy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  NotificationOrder order;
  NotificationOrder::Time now{};
  NotificationInbox inbox;
  size_t arrived = 0;
  size_t told = 0;
  while (input.size() > 2) {
    size_t length = std::min<size_t>(static_cast<uint8_t>(input[0]), input.size() - 2);
    bool mark = (input[1] & 1) != 0;
    if ((input[1] & 2) != 0) order.attribute({static_cast<uint8_t>(input[1]), length}, 1);
    std::string message = "A0000";
    if (mark) message.append("\0\0\0\1", 4).append(kNotifyChannel).append(1, '\0');
    message += input.substr(2, length);
    input.remove_prefix(2 + length);
    try {
      order.arrived(message, now);
      arrived++;
    } catch (const Error&) {
    }
    now += std::chrono::milliseconds(20);
    for (auto& one : order.take(now)) {
      told++;
      if (one.message) inbox.put({one.message});
    }
  }
  for (auto& one : order.take(now + NotificationOrder::kPatience)) {
    told++;
    if (one.message) inbox.put({one.message});
  }
  CHECK(told <= arrived);
  while (!inbox.empty()) CHECK(!inbox.take().empty());
  return 0;
}
