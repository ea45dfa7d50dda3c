#include "compute/outgoing/room_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "compute/rooms/messages.h"

namespace halogen::compute {
namespace {

constexpr const char* kInterface = "out0";

void must(bool done, const char* what) {
  if (!done) throw system_error(errno, what);
}

sockaddr address_of(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, text, &address.sin_addr);
  sockaddr out;
  static_assert(sizeof out == sizeof address);
  std::memcpy(&out, &address, sizeof out);
  return out;
}

ifreq interface_request() {
  ifreq request{};
  std::strncpy(request.ifr_name, kInterface, sizeof request.ifr_name - 1);
  return request;
}

void enter(int pid, const char* kind, int type) {
  UniqueFd entrance = open_file(fmt::format("/proc/{}/ns/{}", pid, kind), O_RDONLY);
  must(::setns(entrance.get(), type) == 0, "entering a room");
}

UniqueFd make_tap() {
  UniqueFd tap = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK);
  ifreq request = interface_request();
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  must(::ioctl(tap.get(), TUNSETIFF, &request) == 0, "an interface");
  return tap;
}

// netdevice(7).
void configure_interface(int socket) {
  ifreq request = interface_request();
  request.ifr_addr = address_of(kRoomAddress);
  must(::ioctl(socket, SIOCSIFADDR, &request) == 0, "an interface's address");
  request.ifr_netmask = address_of(kNetmask);
  must(::ioctl(socket, SIOCSIFNETMASK, &request) == 0, "an interface's netmask");
  request.ifr_mtu = kMtu;
  must(::ioctl(socket, SIOCSIFMTU, &request) == 0, "an interface's MTU");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  must(::ioctl(socket, SIOCSIFFLAGS, &request) == 0, "an interface's start");
}

void add_route(int socket, const char* network, const char* netmask, const char* gateway) {
  rtentry route{};
  route.rt_dst = address_of(network);
  route.rt_genmask = address_of(netmask);
  route.rt_flags = RTF_UP;
  if (gateway != nullptr) {
    route.rt_gateway = address_of(gateway);
    route.rt_flags |= RTF_GATEWAY;
  } else {
    route.rt_flags |= RTF_REJECT;
  }
  must(::ioctl(socket, SIOCADDRT, &route) == 0, "a route");
}

UniqueFd make_network_here() {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  must(socket.valid(), "socket");
  UniqueFd tap = make_tap();
  add_route(socket.get(), "169.254.0.0", "255.255.0.0", nullptr);  // Link-local (README, 2).
  configure_interface(socket.get());
  add_route(socket.get(), "0.0.0.0", "0.0.0.0", kGateway);
  return tap;
}

[[noreturn]] void make_and_send(int pid, int socket) {
  try {
    enter(pid, "user", CLONE_NEWUSER);
    enter(pid, "net", CLONE_NEWNET);
    send_report(socket, {.event = RoomReport::Event::made}, make_network_here().get());
  } catch (const std::exception& error) {
    send_report(socket, failure_report(error));
  }
  ::_exit(0);
}

}  // namespace

// By a child: who has entered a user namespace has no way back to the machine's network.
UniqueFd make_room_network(int pid) {
  SocketPair pair = make_socket_pair(SOCK_SEQPACKET);
  pid_t child = ::fork();
  must(child >= 0, "fork");
  if (child == 0) make_and_send(pid, pair.theirs.get());
  pair.theirs.reset();
  UniqueFd tap;
  std::optional<RoomReport> report = receive_report(pair.ours.get(), -1, &tap);
  ::waitpid(child, nullptr, 0);
  if (!tap.valid())
    throw Error(Errc::io, "no network: {}", report ? report->step : "it was killed");
  return tap;
}

}  // namespace halogen::compute
