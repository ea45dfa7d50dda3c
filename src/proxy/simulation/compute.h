// compute.h: an endpoint's compute: FakePostgres behind a unix socket, one for each connection,
// that take their time. It starts, is suspended, crashes, and ends single backends.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "protocol/compute_host.h"
#include "proxy/simulation/journal.h"
#include "proxy/simulation/messages.h"
#include "proxy/testing/fake_postgres.h"

namespace halogen::proxy::simulation {

class Compute;

// One connection to the compute.
class Backend {
 public:
  Backend(Ground& ground, Compute& compute, UniqueFd socket, uint32_t pid);

  Task<void> run(std::shared_ptr<Backend> self);
  // A cancel request has come.
  void cancel() { cancelled_ = busy_; }
  // As pg_terminate_backend does, and a shutdown.
  void terminate();
  void crash() { stream_.cancel(); }
  uint32_t pid() const { return pid_; }

 private:
  Task<void> live();
  Task<void> greet(const wire::Startup& startup);
  Task<void> take(const Message& message);
  void failed(const Error& error);
  void check_owner(std::string_view bytes);
  void check_owners(std::string_view bytes);

  Ground& ground_;
  Compute& compute_;
  const uint32_t pid_;
  const std::string name_;
  Stream stream_;
  Messages messages_;
  std::unique_ptr<testing::FakePostgres> postgres_;  // Once it has been greeted.
  bool busy_ = false;
  bool cancelled_ = false;
  bool terminated_ = false;
};

class Compute {
 public:
  Compute(Ground& ground, fs::path folder);

  // It runs, or is believed to: a crash is noticed late.
  bool believed() const { return believed_; }
  const ComputeAddress& address() const { return address_; }
  void start();
  void suspend();
  void crash();
  void end_one_backend();
  // How often something happened by which sessions lose their servers, and a server that was ended
  // so was gone: what it was at may have come between. By a suspend none does that needs it.
  size_t losses() const { return losses_; }

  // Lets go of all that the loop knows.
  void forget() {
    backends_.clear();
    close();
  }

  // ---- For backends ----
  testing::FakeCluster& cluster() { return cluster_; }
  void cancel(uint32_t pid);
  void left(const Backend& backend) {
    losses_ += dying_.erase(backend.pid());
    backends_.erase(backend.pid());
  }
  // A backend has got this message.
  void note_seen(const Message& message);
  bool has_seen(const std::string& token) const { return seen_.contains(token); }

 private:
  struct Door {
    UniqueFd socket;
    WatchPtr watch;
  };
  Task<void> accept(std::shared_ptr<Door> door);
  void close();

  Ground& ground_;
  const fs::path folder_;
  testing::FakeCluster cluster_{{{"t", 1}}};
  ComputeAddress address_;
  std::shared_ptr<Door> door_;
  std::map<uint32_t, std::shared_ptr<Backend>> backends_;
  std::set<uint32_t> dying_;    // Of these, those that crashed or were ended.
  std::set<std::string> seen_;  // Clients' tokens.
  uint32_t next_pid_ = 1;
  size_t losses_ = 0;
  bool believed_ = false;
};

// Texts of clients have these in them: "c3x17y" is the third client's.
std::vector<std::string> tokens_in(std::string_view text);

// So much later.
Task<void> later(Loop& loop, steady_clock::duration time, std::function<void()> work);

}  // namespace halogen::proxy::simulation
