// network_stack.h: connections of this process for the packets of a room.
#pragma once
#include <poll.h>
#include <slirp/libslirp.h>

#include <memory>
#include <vector>

namespace halogen::compute {

// libslirp (https://gitlab.freedesktop.org/slirp/libslirp) with an event loop. One thread.
class NetworkStack {
 public:
  // `tap` (make_room_network) must not block, and outlives this. Throws io.
  explicit NetworkStack(int tap);
  NetworkStack(const NetworkStack&) = delete;
  NetworkStack& operator=(const NetworkStack&) = delete;

  // Returns when `life`, a descriptor, says anything or ends, or the interface does.
  void run(int life);

 private:
  // libslirp's callbacks; `self` is a NetworkStack.
  static ssize_t send_frame(const void* frame, size_t size, void* self);
  static int add_poll(int fd, int events, void* self);
  static int events_of(int index, void* self);

  void wait(int life);
  bool take_frames();

  const int tap_;
  std::unique_ptr<Slirp, void (*)(Slirp*)> slirp_;
  std::vector<pollfd> polls_;
  std::vector<uint8_t> frame_;
};

}  // namespace halogen::compute
