#include "platform/checks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "platform/disk_watch.h"

namespace halogen::platform {
namespace {

constexpr uint64_t kLeastSpace = 512ULL << 20;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address make_address(const std::string& host, int port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof *four;
  } else if (::inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    address.size = sizeof *six;
  } else {
    throw Error(Errc::invalid_argument, "\"{}\" is not an IP address", host);
  }
  return address;
}

// 0, or errno. `port` is set to the one bound.
int try_bind(const std::string& host, int& port) {
  Address address = make_address(host, port);
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (address.storage.ss_family == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
  if (::bind(fd.get(), generic, address.size) != 0) return errno;
  if (::listen(fd.get(), 1) != 0) return errno;
  if (::getsockname(fd.get(), generic, &address.size) != 0) return errno;
  port = ntohs(address.storage.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port);
  return 0;
}

// The inodes of sockets that listen on `port`, as /proc names them.
std::vector<std::string> listening_inodes(int port) {
  std::vector<std::string> inodes;
  std::string suffix = fmt::format(":{:04X}", port);
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream lines(table);
    std::string line;
    while (std::getline(lines, line)) {
      std::istringstream fields(line);
      std::string slot, local, remote, state, queues, timer, retries, uid, timeout, inode;
      fields >> slot >> local >> remote >> state >> queues >> timer >> retries >> uid >> timeout >>
          inode;
      if (state == "0A" && local.ends_with(suffix)) inodes.push_back("socket:[" + inode + "]");
    }
  }
  return inodes;
}

// " by postgres (pid 123)", or nothing if we may not see who it is.
std::string who_listens(int port) {
  std::vector<std::string> inodes = listening_inodes(port);
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code hidden;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", hidden)) {
      std::string target = fs::read_symlink(fd.path(), hidden).native();
      for (const std::string& inode : inodes) {
        if (target != inode) continue;
        std::string name;
        std::getline(std::ifstream(process.path() / "comm") >> std::ws, name);
        return fmt::format(" by {} (pid {})", name, pid);
      }
    }
  }
  return "";
}

}  // namespace

void check_port(const std::string& host, int port, const std::string& option) {
  int wanted = port;
  int problem = try_bind(host, wanted);
  // Nobody's: its owner has just been killed, and its files are being closed.
  for (int i = 0; problem == EADDRINUSE && i < 50 && who_listens(port).empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    problem = try_bind(host, wanted);
  }
  if (problem == 0 || problem == EADDRNOTAVAIL) return;
  if (problem == EADDRINUSE)
    throw Error(Errc::unavailable,
                "port {} on {} is already in use{}. Stop that program, or choose another port with "
                "{}",
                port, host, who_listens(port), option);
  throw Error(Errc::unavailable, "cannot listen on port {} of {}: {}. Choose another port with {}",
              port, host, std::strerror(problem), option);
}

int free_port(const std::vector<std::string>& hosts) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    int port = 0;
    bool everywhere = true;
    for (const std::string& host : hosts) everywhere = everywhere && try_bind(host, port) == 0;
    if (everywhere) return port;
  }
  throw Error(Errc::unavailable, "no free port was found");
}

std::vector<std::string> present_addresses(const std::vector<std::string>& hosts) {
  std::vector<std::string> present;
  for (const std::string& host : hosts) {
    int port = 0;
    if (try_bind(host, port) == 0) present.push_back(host);
  }
  return present;
}

void check_postgres_package(int major) {
  std::string program = fmt::format("/usr/lib/postgresql/{}/bin/postgres", major);
  if (::access(program.c_str(), X_OK) == 0) return;
  throw Error(Errc::unavailable,
              "PostgreSQL {} is not installed ({} is missing). Install it with: sudo apt-get "
              "install postgresql-{}",
              major, program, major);
}

void check_disk_space(const fs::path& folder) {
  fs::path existing = folder;
  std::error_code ignored;
  while (!fs::exists(existing, ignored) && existing.has_relative_path())
    existing = existing.parent_path();
  uint64_t free = free_space(existing);
  if (free >= kLeastSpace) return;
  throw Error(Errc::io,
              "the disk of {} is nearly full ({} MiB free, {} MiB wanted): free some space, or set "
              "HALOGEN_HOME to a folder on another disk",
              folder.string(), free >> 20, kLeastSpace >> 20);
}

}  // namespace halogen::platform
