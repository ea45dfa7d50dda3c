#include "proxy/io/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/log.h"
#include "proxy/io/stream.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr size_t kLeastSetAside = 128;  // And a quarter: backends' connections to the page service.
constexpr size_t kFewClients = 500;

size_t raised_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit wanted{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) limit = wanted;
  }
  return limit.rlim_cur;
}

UniqueFd open_reserve() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

Descriptors::Descriptors(size_t at_most)
    : limit_(at_most != 0 ? at_most : raised_limit()), reserve_(open_reserve()) {
  for_streams_ = limit_ - std::min(limit_, std::max(limit_ / 4, kLeastSetAside));
  logger.info("{} file descriptors: room for {} clients with a server connection each", limit_,
              clients());
  if (clients() < kFewClients)
    logger.warn(
        "that is room for few clients: raise the limit of open files of the process that starts "
        "Halogen (`ulimit -Hn`, or LimitNOFILE= of its service), then restart");
}

bool Descriptors::full() const { return Stream::count() + kEach > for_streams_; }

bool Descriptors::turn_away(int listener, std::string_view message) {
  reserve_.reset();
  UniqueFd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  bool taken = client.valid();
  if (taken) send_last_words(client.get(), message);
  client.reset();
  reserve_ = open_reserve();
  return taken;
}

void send_last_words(int socket, std::string_view message) {
  char unwanted[512];
  while (::recv(socket, unwanted, sizeof unwanted, MSG_DONTWAIT) > 0) {
  }
  ::send(socket, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket, SHUT_WR);
}

}  // namespace halogen::proxy
