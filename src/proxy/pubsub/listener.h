// listener.h: a client that listens, and where.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/pubsub/notification.h"

namespace halogen::proxy {

// One client that listens. It is heard for as long as it lives.
struct Listener {
  std::function<void(const std::vector<MessagePtr>& messages)> notified;
  // From now on everything notified on these channels is told to notified().
  std::function<void(const std::vector<std::string>& channels)> confirmed;
  // Something may have been notified that could not be heard. It is not heard for any more.
  std::function<void()> missed;
};
using ListenerPtr = std::shared_ptr<Listener>;

// What one connection can listen to.
struct ListeningPlace {
  std::string endpoint;
  std::string database;
  std::string encoding;  // client_encoding: the server converts for each.

  auto operator<=>(const ListeningPlace&) const = default;
};

}  // namespace halogen::proxy
