#include "compute/outgoing/network_stack.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "base/error.h"
#include "compute/outgoing/room_network.h"

namespace halogen::compute {
namespace {

constexpr size_t kFrameHeader = 14;        // Ethernet's.
constexpr int kFramesAtATime = 64;         // So that answers are not kept waiting.
constexpr const char* kNone = "10.0.2.3";  // Names and addresses are not given out there.

in_addr address_of(const char* text) {
  in_addr address{};
  ::inet_pton(AF_INET, text, &address);
  return address;
}

int64_t now(void*) {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

SlirpConfig configuration() {
  SlirpConfig config{};
  config.version = 4;
  config.in_enabled = true;
  config.vnetwork = address_of(kNetwork);
  config.vnetmask = address_of(kNetmask);
  config.vhost = address_of(kGateway);
  config.vnameserver = config.vdhcp_start = address_of(kNone);
  config.if_mtu = config.if_mru = kMtu;
  config.disable_host_loopback = true;  // README, 1.
  config.disable_dns = true;
  config.disable_dhcp = true;
  return config;
}

// libslirp's own events are poll's, bit by bit, but for their numbers.
constexpr std::pair<int, short> kEvents[] = {{SLIRP_POLL_IN, POLLIN},
                                             {SLIRP_POLL_OUT, POLLOUT},
                                             {SLIRP_POLL_PRI, POLLPRI},
                                             {SLIRP_POLL_ERR, POLLERR},
                                             {SLIRP_POLL_HUP, POLLHUP}};

}  // namespace

NetworkStack::NetworkStack(int tap)
    : tap_(tap), slirp_(nullptr, ::slirp_cleanup), frame_(kMtu + kFrameHeader) {
  // Timers are for IPv6 only, and what a room does wrong is not our log's.
  static constexpr SlirpCb kCallbacks = {
      .send_packet = send_frame,
      .guest_error = [](const char*, void*) {},
      .clock_get_ns = now,
      .timer_free = [](void*, void*) {},
      .timer_mod = [](void*, int64_t, void*) {},
      .register_poll_fd = [](int, void*) {},
      .unregister_poll_fd = [](int, void*) {},
      .notify = [](void*) {},
      .init_completed = [](Slirp*, void*) {},
      .timer_new_opaque = [](SlirpTimerId, void*, void*) -> void* { return nullptr; }};
  const SlirpConfig config = configuration();
  slirp_.reset(::slirp_new(&config, &kCallbacks, this));
  if (!slirp_) throw Error(Errc::io, "libslirp does not start");
}

void NetworkStack::run(int life) {
  do wait(life);
  while (polls_[0].revents == 0 && (polls_[1].revents == 0 || take_frames()));
}

void NetworkStack::wait(int life) {
  polls_.assign({{life, POLLIN, 0}, {tap_, POLLIN, 0}});
  uint32_t timeout = UINT32_MAX;
  ::slirp_pollfds_fill(slirp_.get(), &timeout, add_poll, this);
  const int milliseconds = timeout > INT_MAX ? -1 : static_cast<int>(timeout);
  const int ready = ::poll(polls_.data(), polls_.size(), milliseconds);
  ::slirp_pollfds_poll(slirp_.get(), ready < 0, events_of, this);
}

// False at the end of the interface.
bool NetworkStack::take_frames() {
  for (int taken = 0; taken < kFramesAtATime; ++taken) {
    const ssize_t size = ::read(tap_, frame_.data(), frame_.size());
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR);
    ::slirp_input(slirp_.get(), frame_.data(), static_cast<int>(size));
  }
  return true;
}

// A frame that the interface does not take is lost, as on a wire.
ssize_t NetworkStack::send_frame(const void* frame, size_t size, void* self) {
  [[maybe_unused]] ssize_t sent = ::write(static_cast<NetworkStack*>(self)->tap_, frame, size);
  return static_cast<ssize_t>(size);
}

int NetworkStack::add_poll(int fd, int events, void* self) {
  short wanted = 0;
  for (auto [theirs, ours] : kEvents)
    if ((events & theirs) != 0) wanted = static_cast<short>(wanted | ours);
  std::vector<pollfd>& polls = static_cast<NetworkStack*>(self)->polls_;
  polls.push_back({fd, wanted, 0});
  return static_cast<int>(polls.size() - 1);
}

int NetworkStack::events_of(int index, void* self) {
  const short seen = static_cast<NetworkStack*>(self)->polls_[static_cast<size_t>(index)].revents;
  int events = 0;
  for (auto [theirs, ours] : kEvents)
    if ((seen & ours) != 0) events |= theirs;
  return events;
}

}  // namespace halogen::compute
