// session.h: one client's connection, from its first byte to its last.
//
// run() is its life: the startup packets and TLS (Handshake), who it is (Authenticator), a
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
#include "protocol/pooler_status.h"
#include "proxy/conversation/conversation.h"
#include "proxy/pool/pool.h"
#include "proxy/pool/server.h"
#include "proxy/session/admin_session.h"
#include "proxy/session/client_side.h"
#include "proxy/session/compute_use.h"
#include "proxy/session/listening.h"
#include "proxy/session/pin_watch.h"
#include "proxy/session/relay.h"
#include "proxy/session/request_stats.h"
#include "proxy/session/rights.h"
#include "proxy/session/server_lease.h"

namespace halogen::proxy {

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Shared& shared, Worker& worker, Connection connection, Origin origin);
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
  Task<bool> log_in();
  std::optional<wire::ErrorFields> explain(const Error& error);
  wire::ErrorFields explain_cut_off();
  CancelWaiting cancels_by();
  bool cancel_waiting();
  Task<void> say_goodbye(const std::optional<wire::ErrorFields>& reason);
  void enter(State state);
  // In a transaction, or with a request that has not been answered.
  bool has_work() const;
  void end_with(const Refused& why);
  void interrupt();
  void cut_off(End why);
  bool is_ending() const;
  void leave_newcomers();

  // ---- serving.cc ----
  Task<void> serve();
  Conversation::Options conversation_options() const;
  Task<void> greet();
  Task<void> greet_client(const ReportedPtr& reported);
  Task<ReportedPtr> first_report();
  Task<ServerPtr> first_server();
  Task<void> serve_admin();
  Task<void> replicate();

  // ---- converse.cc ----
  enum class Next { more, server, verified, goodbye };
  Task<void> converse();
  bool tell_at_once(std::string_view& bytes);
  Task<void> tell(std::string_view bytes);
  Task<bool> hear();
  void keep(std::string_view bytes, size_t used);
  void hold_message();
  Task<Next> take(std::string_view bytes, size_t& used);
  Task<void> send_to_server(std::string_view bytes);
  void spawn_server_loop();
  Task<void> server_loop(ServerPtr server);
  Task<bool> hear_server(Server& server);
  void take_news_for_pools(const Server& server);
  Task<void> server_ended(ServerPtr server);
  Task<void> let_server_finish(bool in_peace);

  // ---- notifications.cc ----
  ListeningPlace listening_place() const;
  void attribute_notifications(const Server& server);
  Task<void> settle_listening();
  void tell_notifications();
  Task<void> tell_now();

  // ---- attach.cc ----
  Wanted wanted() const;
  bool attach_at_once(std::string& to_server);
  Task<void> attach(std::string& to_server);
  Task<void> attach_or_refuse(std::string& to_server);
  Task<std::optional<Grant>> wait_in_line(Deadline deadline);
  void adopt(Grant grant, std::string& to_server);
  void settle();
  void give_server();
  void drop_server();
  wire::Parameters session_parameters() const;
  void watch_pin();
  void lend();
  wire::ErrorFields loss(std::string_view why) const;
  Task<void> check_rights();

  // ---- describing.cc ----
  ClientState client_state() const;
  PoolMode pool_mode() const;
  void describe_client(PoolerClient& client) const;
  void describe_server(PoolerServer& server) const;

  ClientSide client_;
  Shared& shared_;
  Worker& worker_;
  Login& login_;
  State state_ = State::starting;
  std::list<Session*>::iterator newcomer_;  // While starting.
  Timer deadline_timer_;                    // Cancels the client when it fires.

  Rights rights_;

  // ---- Talking to servers ----
  std::optional<Conversation> talk_;
  PoolPtr pool_;  // Of a pooled session.
  ServerLease server_;
  std::string heard_;  // From the client, not used yet.
  size_t wanted_ = 0;  // So much of it must be there before it is of use.
  ComputeUse use_;
  ByteBudget::Share held_;  // Of a large message in heard_.
  int server_loops_ = 0;
  PinWatch pin_;
  RequestStats stats_;
  Listening listening_;
  std::unique_ptr<Relay> relay_;  // Of a replication connection.
};

}  // namespace halogen::proxy
