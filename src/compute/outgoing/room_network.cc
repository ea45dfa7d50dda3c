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
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/error.h"

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

struct FdMessage {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};

  FdMessage() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
  }
};

void send_fd(int socket, int fd) {
  FdMessage message;
  cmsghdr* part = CMSG_FIRSTHDR(&message.header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  must(::sendmsg(socket, &message.header, 0) == 1, "sendmsg");
}

UniqueFd receive_fd(int socket) {
  FdMessage message;
  if (::recvmsg(socket, &message.header, MSG_CMSG_CLOEXEC) != 1) return UniqueFd();
  cmsghdr* part = CMSG_FIRSTHDR(&message.header);
  if (part == nullptr || part->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int fd;
  std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
  return UniqueFd(fd);
}

[[noreturn]] void make_and_send(int pid, int socket) {
  try {
    enter(pid, "user", CLONE_NEWUSER);
    enter(pid, "net", CLONE_NEWNET);
    send_fd(socket, make_network_here().get());
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    ::_exit(1);
  }
}

}  // namespace

// By a child: who has entered a user namespace has no way back to the machine's network.
UniqueFd make_room_network(int pid) {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  pid_t child = ::fork();
  must(child >= 0, "fork");
  if (child == 0) make_and_send(pid, theirs.get());
  theirs.reset();
  UniqueFd tap = receive_fd(ours.get());
  ::waitpid(child, nullptr, 0);
  if (!tap.valid()) throw Error(Errc::io, "the room got no network");
  return tap;
}

}  // namespace halogen::compute
