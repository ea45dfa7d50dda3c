// What an idle TLS client costs the proxy's process: memory at so many clients, with a compute that
// only says that it is ready. HALOGEN_IDLE_CLIENTS says how many, 1,000 by default.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <fstream>

#include "postgres/wire.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

size_t resident_kb() {
  std::ifstream in("/proc/self/statm");
  size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

// Takes any number of connections, answers each startup packet, and holds them.
class ReadyCompute {
 public:
  explicit ReadyCompute(const fs::path& folder) {
    fs::create_directories(folder);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::string path = folder / ".s.PGSQL.5432";
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(listener_.get(), 1024), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~ReadyCompute() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::atomic<int> clients = 0;

 private:
  void run() {
    std::string answer;
    wire::put_authentication_ok(answer);
    wire::put_backend_key(answer, 1, 2);
    wire::put_ready_for_query(answer);
    char packet[4096];
    while (true) {
      UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client.valid()) return;
      if (::recv(client.get(), packet, sizeof packet, 0) <= 0) continue;
      write_all(client.get(), as_bytes(answer));
      held_.push_back(std::move(client));
      clients++;
    }
  }

  UniqueFd listener_;
  std::vector<UniqueFd> held_;
  std::thread thread_;
};

// Connects one after another, and holds all until its input ends.
constexpr const char* kClients = R"(
import socket, ssl, struct, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
startup = struct.pack('!i', 196608) + b'user\0alice\0database\0postgres\0\0'
password = b'endpoint=ep-test;s3cret\0'
held = []
for i in range(count):
    raw = socket.create_connection(('127.0.0.1', port))
    raw.sendall(struct.pack('!ii', 8, 80877103))
    assert raw.recv(1) == b'S'
    client = context.wrap_socket(raw)
    client.sendall(struct.pack('!i', 4 + len(startup)) + startup)
    client.recv(100)
    client.sendall(b'p' + struct.pack('!i', 4 + len(password)) + password)
    answer = b''
    while not answer.endswith(b'Z\0\0\0\5I'): answer += client.recv(1000) or sys.exit(answer)
    held.append(client)
sys.stdin.read()
)";

// A process of such clients, while this lives.
class Clients {
 public:
  Clients(const fs::path& script, int port, int count)
      : pipe_(::popen(
            fmt::format("exec /usr/bin/python3 {} {} {}", script.string(), port, count).c_str(),
            "w")) {}
  ~Clients() { EXPECT_EQ(::pclose(pipe_), 0); }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

 private:
  FILE* const pipe_;
};

void wait_for(const ReadyCompute& compute, int clients) {
  Deadline deadline = Deadline::after(std::chrono::minutes(2));
  while (compute.clients < clients && !deadline.passed())
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(compute.clients, clients);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
}

TEST(IdleMemory, OfClientsOverTls) {
  const char* wanted = std::getenv("HALOGEN_IDLE_CLIENTS");
  int count = wanted != nullptr ? std::atoi(wanted) : 1000;
  fs::path folder = fs::temp_directory_path() / ("halogen-idle-" + random_name(8));
  {
    ReadyCompute compute(folder);
    FakeEndpoints endpoints({folder.string(), 5432});
    endpoints.set_role("alice", scram::make_verifier("s3cret", "salt", 1).str());
    Proxy::Options options{.port = 0, .certificate_directory = folder / "certificates"};
    options.threads = 2;
    Proxy proxy(options, endpoints);
    proxy.start();
    fs::path script = folder / "clients.py";
    write_file(script, kClients);
    Clients warm_up(script, proxy.port(), 20);  // What is there only once.
    wait_for(compute, 20);
    size_t before = resident_kb();
    Clients clients(script, proxy.port(), count);
    wait_for(compute, 20 + count);
    double each = (static_cast<double>(resident_kb()) - static_cast<double>(before)) / count;
    fmt::print("{} idle clients: {:.1f} KB each\n", count, each);
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && \
    !__has_feature(thread_sanitizer)
    EXPECT_LT(each, 28);
#endif
    proxy.stop();
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace halogen::proxy
