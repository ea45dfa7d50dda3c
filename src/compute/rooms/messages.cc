#include "compute/rooms/messages.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace halogen::compute {
namespace {

constexpr size_t kLongest = 64 << 10;
constexpr size_t kMostFds = 4;

struct RequestHead {
  uint32_t slot;
  uint32_t command;      // How many strings.
  uint32_t environment;  // How many.
};

// The message's size, 0 at the end of the stream, -1 with errno.
ssize_t receive_message(int socket, std::span<char> bytes, std::array<UniqueFd, kMostFds>* fds) {
  iovec piece{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return got;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count && i < kMostFds; ++i)
      (*fds)[i] = UniqueFd(load<int>(CMSG_DATA(head) + i * sizeof(int)));
  }
  return got;
}

void put_strings(std::string& text, const std::vector<std::string>& strings) {
  for (const std::string& one : strings) text.append(one).push_back('\0');
}

std::string take_string(std::string_view& text) {
  size_t end = text.find('\0');
  if (end == std::string_view::npos) throw Error(Errc::corrupt, "a request for a room is cut off");
  std::string taken(text.substr(0, end));
  text.remove_prefix(end + 1);
  return taken;
}

}  // namespace

RoomReport failure_report(const std::exception& error) {
  RoomReport report;
  std::strncpy(report.step, error.what(), sizeof report.step - 1);
  return report;
}

SocketPair make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0)
    throw system_error(errno, "socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

ssize_t send_message(int socket, std::string_view bytes, std::span<const int> fds) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(head), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

void send_request(int socket, const RoomRequest& request) {
  RequestHead head{request.slot, static_cast<uint32_t>(request.command.size()),
                   static_cast<uint32_t>(request.environment.size())};
  std::string text(reinterpret_cast<const char*>(&head), sizeof head);
  put_strings(text, {request.id});
  put_strings(text, request.command);
  put_strings(text, request.environment);
  CHECK(text.size() <= kLongest);
  std::vector<int> fds{request.report.get(), request.input.get(), request.log.get()};
  if (request.group.valid()) fds.push_back(request.group.get());
  if (send_message(socket, text, fds) < 0)
    throw Error(Errc::unavailable, "the warden of the computes' rooms has ended: {}",
                std::strerror(errno));
}

std::optional<RoomRequest> receive_request(int socket) {
  std::string buffer(kLongest, '\0');
  std::array<UniqueFd, kMostFds> fds;
  ssize_t got = receive_message(socket, buffer, &fds);
  if (got <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<size_t>(got));
  if (text.size() < sizeof(RequestHead))
    throw Error(Errc::corrupt, "a request for a room is cut off");
  auto head = load<RequestHead>(text.data());
  text.remove_prefix(sizeof head);
  RoomRequest request;
  request.slot = head.slot;
  request.id = take_string(text);
  for (uint32_t i = 0; i < head.command; ++i) request.command.push_back(take_string(text));
  for (uint32_t i = 0; i < head.environment; ++i) request.environment.push_back(take_string(text));
  request.report = std::move(fds[0]);
  request.input = std::move(fds[1]);
  request.log = std::move(fds[2]);
  request.group = std::move(fds[3]);
  return request;
}

void send_report(int socket, const RoomReport& report, int fd) {
  std::span<const int> fds(&fd, fd < 0 ? 0 : 1);
  send_message(socket, {reinterpret_cast<const char*>(&report), sizeof report}, fds);
}

std::optional<RoomReport> receive_report(int socket, int milliseconds, UniqueFd* fd) {
  pollfd poll{socket, POLLIN, 0};
  int ready;
  do ready = ::poll(&poll, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  if (ready <= 0) return std::nullopt;
  RoomReport report;
  std::array<UniqueFd, kMostFds> fds;
  ssize_t got = receive_message(socket, {reinterpret_cast<char*>(&report), sizeof report}, &fds);
  if (got != static_cast<ssize_t>(sizeof report)) return std::nullopt;
  report.step[sizeof report.step - 1] = 0;
  if (fd != nullptr) *fd = std::move(fds[0]);
  return report;
}

}  // namespace halogen::compute
