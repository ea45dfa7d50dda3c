// session.h: one client's connection, from its first byte to its last.
//
// run() is its life: the startup packets and TLS (session.cc), who it is (authentication.cc), a
// compute for it (serving.cc), and then what it says and hears (converse.cc), with a server got and
// given back in between (attach.cc). A direct connection keeps its server until the compute is
// suspended, a pooled one until its transaction ends; both get another when they need one.
// Replication connections have their bytes carried as they are (relay.cc). Everything happens on
// the worker's thread; a session lives as long as one of its coroutines does.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "postgres/scram.h"
#include "postgres/startup.h"
#include "protocol/pooler_status.h"
#include "proxy/auth/route.h"
#include "proxy/conversation/conversation.h"
#include "proxy/conversation/message_tracker.h"
#include "proxy/io/stream.h"
#include "proxy/io/worker.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/server.h"
#include "proxy/pubsub/listeners.h"
#include "proxy/session/shared.h"

namespace halogen::proxy {

class Session : public std::enable_shared_from_this<Session> {
 public:
  // `peer` is for the log.
  Session(Shared& shared, Worker& worker, UniqueFd socket, std::string peer,
          const IpAddress& address);
  ~Session();

  // Begins; the session ends on its own, or by terminate().
  void start();
  // The proxy stops: the client is told, and the connection closed.
  void terminate();
  // The proxy drains: as terminate() if nothing is under way for the client. Replication goes on.
  void retire();
  // The endpoint has been deleted.
  void lose_endpoint();
  // Ends a newcomer that has kept us waiting since before `since`; false if it is no such one.
  bool give_way(steady_clock::time_point since);
  // "" until it has shown who it is, and when it has left.
  const std::string& endpoint() const;
  // Somebody has ended this client by name.
  void kill();
  // As PoolerClient::id.
  uint64_t id() const;
  // Counts it in, and tells of it and its server if `details`.
  void describe(PoolerStatus& into, bool details) const;

 private:
  // ---- session.cc ----
  Task<void> run(std::shared_ptr<Session> self);
  Task<std::optional<wire::ErrorFields>> live();
  std::optional<wire::ErrorFields> explain(const Error& error);
  // nullopt: there is nothing to serve (a cancel request, or the client said nothing).
  Task<std::optional<startup::Packet>> receive_startup();
  Task<startup::Packet> receive_packet();
  Task<void> begin_tls();
  Task<void> charge_work();
  void refuse_early_bytes(std::string_view request);
  Task<void> forward_cancel(ClientKey ours);
  Task<void> deliver_cancel(const CancelTarget& target);
  CancelWaiting cancels_by();
  bool cancel_waiting();
  Task<void> say_goodbye(const std::optional<wire::ErrorFields>& reason);
  void enter(State state);
  // In a transaction, or with a request that has not been answered.
  bool has_work() const;
  void end_with(const Refused& why);
  void interrupt();
  bool must_end() const { return client_left_ || last_words_ || shared_.stopping; }
  // Throws `cancelled` if the session must end, Refused if the request that waits was canceled.
  void throw_if_ended();
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
  // Of the startup packet; "" if not given.
  std::string_view parameter(std::string_view name) const;
  Conversation::Options conversation_options() const;
  Task<void> greet();
  Task<void> greet_client(const ReportedPtr& reported);
  Task<ReportedPtr> first_report();
  Task<ComputeAddress> wake(Deadline deadline);
  // Wakes the compute and connects; again, where it goes away meanwhile. For a pooled server,
  // nullptr where the compute has no room for one.
  Task<ServerPtr> connect(const wire::Parameters& parameters, Deadline deadline, bool pooled);
  Pools::Full full_of(const wire::ErrorFields& refused) const;
  void begin_use();
  void end_use();
  void watch_client();
  static Task<void> watch(std::weak_ptr<Session> weak, uint64_t number);

  // ---- converse.cc ----
  enum class Next { more, server, verified, goodbye };
  Task<void> converse();
  bool tell_at_once(std::string_view& bytes);
  void count_told(size_t size);
  Task<void> tell(std::string_view bytes);
  Task<bool> hear();
  void keep(std::string_view bytes, size_t used);
  void hold_message();
  Task<Next> take(std::string_view bytes, size_t& used);
  bool send_at_once(std::string_view& bytes);
  Task<void> send_to_server(std::string_view bytes);
  void spawn_server_loop();
  Task<void> server_loop(ServerPtr server);
  Task<bool> hear_server(Server& server);
  Task<void> server_ended(ServerPtr server);
  Task<void> let_server_finish(bool in_peace);

  // ---- notifications.cc ----
  ListeningPlace listening_place() const;
  ListenerPtr make_listener();
  void attribute_notifications(const Server& server);
  Task<void> settle_listening();
  Task<void> follow_channels(Deadline deadline);
  Task<void> hear_oneself(Deadline deadline);
  void leave_listeners();
  void notified(const std::vector<MessagePtr>& messages);
  void end_deaf();
  void tell_notifications();
  Task<void> tell_now();
  Task<void> listeners_ready(uint64_t start, Deadline deadline);

  // ---- attach.cc ----
  Wanted wanted() const;
  bool attach_at_once(std::string& to_server);
  Task<void> attach(std::string& to_server);
  Task<void> attach_or_refuse(std::string& to_server);
  Task<std::optional<Grant>> wait_in_line(Deadline deadline);
  void adopt(ServerPtr server, std::string& to_server);
  void settle();
  std::optional<uint64_t> current_start();
  void give_server();
  void drop_server();
  wire::Parameters session_parameters() const;
  void watch_pin();
  void look_at_pin(steady_clock::time_point when);
  void end_pin();
  void lend();
  void set_pin(std::string_view reason);
  wire::ErrorFields loss(std::string_view why) const;

  // ---- rights.cc ----
  Task<void> check_rights();
  void note_rights(const RoleSecret& secret);
  Refused wrong_password() const;
  bool is_mine(const ServerLogin& login) const;
  void recognize(const ServerLogin& login);
  void take_seats(const ServerLogin& login);
  void take_news_for_pools(const Server& server);

  // ---- describing.cc ----
  ClientState client_state() const;
  PoolMode pool_mode() const;
  std::string database() const;
  void describe_client(PoolerClient& client) const;
  void describe_server(PoolerServer& server) const;
  void begin_tally();
  void request_came(size_t bytes);
  void request_answered();

  // ---- admin_session.cc ----
  bool is_admin() const;
  Task<void> serve_admin();
  Task<PoolerStatus> own_status();

  // ---- relay.cc ----
  Task<void> relay(Deadline deadline);
  Task<void> carry_both_ways();
  Task<void> client_to_server();
  Task<void> server_to_client();
  Task<void> carry_from_client();
  Task<void> carry_from_server();

  // Calls `ask` with a callback for any thread, and waits for its answer; nullopt if the deadline
  // passed. Throws cancelled when the client left or the proxy stops.
  template <typename T, typename Ask>
  Task<std::optional<Outcome<T>>> answer_of(Ask ask, Deadline deadline);
  Task<void> wait_for_event(Deadline deadline);
  void signal_event() { event_.signal(); }

  Shared& shared_;
  Worker& worker_;
  const std::string peer_;
  const IpAddress address_;  // Of the client.
  Stream client_;
  State state_ = State::starting;
  const steady_clock::time_point since_ = steady_clock::now();
  std::list<Session*>::iterator newcomer_;  // While starting.
  Deadline startup_deadline_;
  WorkLimits::Charge charge_;  // Until it has logged in.
  Timer deadline_timer_;       // Cancels client_ when it fires.
  Event event_;

  std::string user_;
  Route route_;
  wire::Parameters parameters_;  // What the compute is told.
  // What let it in, as far as that can change: the role's OID (0: not known yet) and a hash of its
  // verifier, the database's OID; and of which moment that is known to hold.
  struct Rights {
    uint32_t role = 0;
    uint32_t database = 0;
    size_t verifier = 0;
    LoginMoment as_of;
  };
  Rights rights_;
  std::unique_ptr<RoleSecret> secret_;  // While it is being checked.
  LoginCounts::Seat role_seat_;
  LoginCounts::Seat database_seat_;
  std::optional<ClientKey> cancel_key_;
  uint16_t minor_ = 0;        // Of the protocol that is spoken.
  bool entered_ = false;      // The client has said what it wants; it understands messages.
  bool timed_out_ = false;    // deadline_timer_ fired.
  bool crowded_out_ = false;  // By give_way().
  bool looking_up_ = false;   // The client waits for us, not we for it.
  bool client_left_ = false;  // It ended its side, or is gone.
  bool watching_ = false;     // watch_client() is wanted.
  uint64_t watches_ = 0;      // Calls of watch_client().

  // ---- Talking to servers ----
  std::optional<Conversation> talk_;
  PoolPtr pool_;  // Of a pooled session.
  ServerPtr server_;
  Slot slot_;                       // Of a pooled session's server.
  std::string heard_;               // From the client, not used yet.
  size_t wanted_ = 0;               // So much of it must be there before it is of use.
  bool in_use_ = false;             // begin_use() counts.
  std::optional<uint64_t> usable_;  // Which start of the compute, while in use.
  std::unique_ptr<wire::ErrorFields> last_words_;  // The session ends with these.
  bool in_line_ = false;
  bool cancel_asked_ = false;   // For the request that waits for a server.
  std::optional<Grant> grant_;  // Come, while waiting in line.
  bool telling_ = false;        // Bytes are on their way to the client.
  Event told_;                  // They are out.
  bool sending_ = false;        // Bytes are on their way to the server.
  Event sent_;                  // They are out.
  ByteBudget::Share held_;      // Of a large message in heard_.
  int server_loops_ = 0;
  std::string pin_;   // Why the server is kept, as counted in the metrics.
  LenderPtr lender_;  // While the server can be asked for.
  std::optional<steady_clock::time_point> unused_since_;  // While it is kept for nothing else.
  std::chrono::milliseconds pin_bound_{0};                // For how long it may be.
  Timer pin_timer_;
  bool pin_expired_ = false;

  // ---- For the census ----
  TallyPtr tally_;  // Null until it has been greeted.
  uint64_t queries_ = 0;
  uint64_t transactions_ = 0;
  steady_clock::time_point asked_ = since_;  // When the request under way, or the last one, came.
  steady_clock::time_point transaction_began_;
  bool asking_ = false;  // asked_ has not been answered yet.
  bool in_transaction_ = false;
  std::optional<steady_clock::time_point> waits_since_;  // For a server.

  // ---- Listening ----
  ListenerPtr listener_;
  std::optional<ListeningPlace> listening_at_;
  std::vector<std::string> heard_for_;       // The channels that `listener_` hears.
  std::optional<NotifyingTransaction> own_;  // Its last transaction that notified.
  NotificationInbox notifications_;          // To be told when nothing is under way.

  // ---- Carrying bytes ----
  Stream* relay_ = nullptr;
  MessageTracker from_client_;
  MessageTracker from_server_;
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
    alive->loop.post([session, answer, outcome = std::move(outcome)]() mutable {
      *answer = std::move(outcome);
      if (auto waiting = session.lock()) waiting->signal_event();
    });
  });
  while (!answer->has_value() && !deadline.passed()) {
    throw_if_ended();
    co_await wait_for_event(deadline);
  }
  co_return std::move(*answer);
}

}  // namespace halogen::proxy
