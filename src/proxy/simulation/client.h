// client.h: a client of the proxy that does what clients do: asks, in pieces and in pipelines,
// cancels, stalls, vanishes and comes again. Its oracle says whether what it hears is right.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "proxy/simulation/compute.h"
#include "proxy/simulation/oracle.h"
#include "proxy/simulation/script.h"

namespace halogen::proxy::simulation {

class Client {
 public:
  // Makes a connection to the proxy.
  using Connect = std::function<UniqueFd()>;
  Client(Ground& ground, Compute& compute, Connect connect, size_t number);

  // Until all steps are taken.
  Task<void> run(std::shared_ptr<Client> self);
  // The client is gone for good.
  bool left() const { return left_; }

 private:
  Task<void> visit();
  Task<bool> log_in();
  Task<bool> prove(const Message& asked);
  Task<void> hear(std::shared_ptr<Client> self);
  void take(const Message& message);

  Task<void> act();
  Task<void> ask();
  Task<void> cancel();
  bool all_is_read() const;
  Task<void> send_cancel();
  Task<void> vanish();
  Task<void> say_goodbye();
  Task<void> start_over();

  Task<void> say(std::string_view bytes);
  Task<void> answered();
  Task<void> wait(Deadline deadline);
  Task<void> think();
  bool goes_on() const { return !over_ && !ground_.journal.finding(); }
  void note(std::string_view what) { ground_.journal.note(name_, what); }

  Ground& ground_;
  Compute& compute_;
  const Connect connect_;
  const std::string name_;
  const size_t number_;
  Script script_;
  Event changed_;
  testing::FakeSession::Settings startup_;
  bool pooled_ = true;

  // ---- Of one connection ----
  int socket_ = -1;
  std::unique_ptr<Stream> stream_;  // Over it.
  std::unique_ptr<Messages> messages_;
  std::optional<Oracle> oracle_;
  std::string key_;  // What cancels: pid and secret.
  bool hearing_ = false;
  bool over_ = false;     // Nothing more comes.
  bool leaving_ = false;  // By our own wish.
  size_t losses_ = 0;     // Of the compute's, when it last lost something.
  steady_clock::time_point stalled_until_{};
  bool left_ = false;
};

}  // namespace halogen::proxy::simulation
