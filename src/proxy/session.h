// session.h: one client's connection, from its first byte to its last.
//
// run() is its life: the startup packets and TLS (session.cc), who it is (authentication.cc), a
// compute for it and bytes both ways (serving.cc). Everything happens on the worker's thread; a
// session lives as long as one of its coroutines does.
//
// Direct and pooled connections are served the same for now: `route_.pooled` is where the pooler
// will take its own way, between authenticated and connect_compute().
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "postgres/scram.h"
#include "postgres/startup.h"
#include "proxy/message_tracker.h"
#include "proxy/route.h"
#include "proxy/shared.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

namespace halogen::proxy {

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `peer` is for the log.
  Session(Shared& shared, Worker& worker, asio::ip::tcp::socket socket, std::string peer,
          const IpAddress& address);
  ~Session();

  // Begins; the session ends on its own, or by terminate().
  void start();
  // The proxy stops: the client is told, and the connection closed.
  void terminate();
  // Ends a newcomer that has kept us waiting since before `since`; false if it is no such one.
  bool give_way(steady_clock::time_point since);

 private:
  // ---- session.cc ----
  Task<void> run();
  Task<std::optional<wire::ErrorFields>> live();
  std::optional<wire::ErrorFields> explain(const Error& error);
  // nullopt: there is nothing to serve (a cancel request, or the client said nothing).
  Task<std::optional<startup::Packet>> receive_startup();
  Task<startup::Packet> receive_packet();
  Task<void> begin_tls();
  void refuse_early_bytes(std::string_view request);
  Task<void> forward_cancel(ClientKey ours);
  Task<void> say_goodbye(const std::optional<wire::ErrorFields>& reason);
  void enter(State state);
  void leave_newcomers();
  size_t cancel_secret_size() const { return minor_ >= 2 ? kLongSecret : kShortSecret; }
  void log_end(std::string_view what) const;

  // ---- authentication.cc ----
  // Sets user_, route_ and parameters_, or throws.
  Task<void> authenticate(startup::Packet packet);
  Task<void> negotiate_version(const startup::Packet& packet);
  std::optional<Route> route_of(wire::Parameters& parameters) const;
  // With the password it gave, or by SCRAM. Who may not even try is refused.
  Task<bool> proves_itself(std::optional<std::string> password);
  Task<void> hold_back(steady_clock::duration time);
  Task<scram::Verifier> find_verifier();
  Task<bool> password_is_right(const std::string& password);
  Task<bool> scram_succeeds();
  Task<std::string> receive_password_message();

  // ---- serving.cc ----
  Task<void> serve();
  Task<void> connect_compute();
  Task<ComputeAddress> wake(Deadline deadline);
  // False if the compute is not there (any more) and another wake may help.
  Task<bool> open_server(const ComputeAddress& address);
  Task<bool> greet_server(const std::string& socket);
  void watch_client();
  Task<void> relay();
  Task<void> client_to_server();
  Task<void> server_to_client();
  Task<void> carry_from_client();
  Task<void> carry_from_server();

  // Calls `ask` with a callback for any thread, and waits for its answer; nullopt if the deadline
  // passed. Throws cancelled when the client left or the proxy stops.
  template <typename T, typename Ask>
  Task<std::optional<Outcome<T>>> answer_of(Ask ask, Deadline deadline);
  Task<void> wait_for_event(Deadline deadline);
  void signal_event() { event_.cancel(); }

  Shared& shared_;
  Worker& worker_;
  const std::string peer_;
  const IpAddress address_;  // Of the client.
  Stream client_;
  std::unique_ptr<Stream> server_;
  State state_ = State::starting;
  const steady_clock::time_point since_ = steady_clock::now();
  std::list<Session*>::iterator newcomer_;  // While starting.
  Deadline startup_deadline_;
  asio::steady_timer deadline_timer_;  // Cancels client_ when it fires.
  asio::steady_timer event_;           // Never fires by itself: cancelled is signalled.

  std::string user_;
  Route route_;
  wire::Parameters parameters_;  // What the compute is told.
  std::optional<ClientKey> cancel_key_;
  uint16_t minor_ = 0;  // Of the protocol that is spoken.

  MessageTracker from_client_;
  MessageTracker from_server_;
  bool entered_ = false;        // The client has said what it wants; it understands messages.
  bool timed_out_ = false;      // deadline_timer_ fired.
  bool crowded_out_ = false;    // By give_way().
  bool looking_up_ = false;     // The client waits for us, not we for it.
  bool client_left_ = false;    // It ended its side, or is gone.
  bool watching_ = false;       // watch_client() is wanted.
  bool upstream_done_ = false;  // client_to_server() has ended.
};

// Where both .cc files that wait for control get it from.
template <typename T, typename Ask>
Task<std::optional<Outcome<T>>> Session::answer_of(Ask ask, Deadline deadline) {
  auto answer = std::make_shared<std::optional<Outcome<T>>>();
  // The callback may come late, from any thread, when this session or even the worker is gone.
  ask([worker = worker_.weak_from_this(), session = weak_from_this(), answer](Outcome<T> outcome) {
    std::shared_ptr<Worker> alive = worker.lock();
    if (!alive) return;
    asio::post(alive->context, [session, answer, outcome = std::move(outcome)]() mutable {
      *answer = std::move(outcome);
      if (auto waiting = session.lock()) waiting->signal_event();
    });
  });
  while (!answer->has_value() && !deadline.passed()) {
    if (client_left_ || shared_.stopping) throw Error(Errc::cancelled, "cancelled");
    co_await wait_for_event(deadline);
  }
  co_return std::move(*answer);
}

}  // namespace halogen::proxy
