// conversation.h: what a client and the servers it is given say to each other. Pure: bytes in,
// bytes out.
//
// A client keeps its conversation for life; servers come and go. While one is attached,
// from_client() and from_server() pass messages on, rename prepared statements where servers are
// shared, put in what the server lacks (the session's state, a statement) and take out the answers
// to that. Made of: what is owed and the phase (exchange.h), the client's statements
// (statement_names.h), what we say ourselves (injector.h). While none is attached, answer_client()
// says what can be said without a server: the news that one was lost.
//
// Both directions take bytes from outside: Errc::corrupt on what is no protocol. They return how
// much they used; the rest is the beginning of a message, to be given again with more behind it.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "postgres/wire.h"
#include "proxy/conversation/exchange.h"
#include "proxy/conversation/injector.h"
#include "proxy/conversation/server_state.h"
#include "proxy/conversation/statement_names.h"

namespace halogen::proxy {

class Conversation {
 public:
  struct Options {
    StatementTexts& texts;
    std::string startup;  // startup_items() of the client.
    bool pooled = false;  // Servers are shared between clients.
  };
  explicit Conversation(Options options);

  // ---- A server for the client ----

  // Bytes for the server come first: what makes it this client's. It must have no answers under
  // way.
  void attach(ServerState& server, std::string& to_server);
  // Asks for the outcome of attach() where no message of the client is to follow.
  void sync(std::string& to_server);
  // At rest only; the server stays as it is.
  void detach();
  // The server is gone, or of no use: `why` goes to the client if it loses anything by that, now or
  // with its next request. False if the client is in the middle of a message of the server's, so
  // that nothing can be said to it any more.
  bool server_lost(const wire::ErrorFields& why, std::string& to_client);
  bool attached() const { return server_ != nullptr; }

  // ---- Bytes ----

  // While attached. Stops early when waiting(): go on when from_server() has ended that.
  // Should they throw, what they have judged before is in `to_server` or `to_client`.
  size_t from_client(std::string_view bytes, std::string& to_server);
  bool waiting() const { return waiting_; }
  size_t from_server(std::string_view bytes, std::string& to_client);
  // While not attached. Stops before the first message that needs a server, or Terminate.
  size_t answer_client(std::string_view bytes, std::string& to_client);
  // Makes the next request be answered with this error.
  void refuse(const wire::ErrorFields& why) {
    refusal_ = std::make_unique<Refusal>(Refusal{why, false});
  }
  // The same for the message that begins the bytes given next: it is dropped as it comes, and the
  // rest of its pipeline is skipped.
  void refuse_message(const wire::ErrorFields& why);
  // These bytes begin with a message that should be given a server: not with half a one.
  bool worth_a_server(std::string_view bytes) const;
  // How much of the first message must be there before any of it can be passed on, if that is more
  // than there is; else 0.
  size_t size_to_hold(std::string_view bytes) const;
  // There is no room for that: a query is passed on as it comes, looked at as far as it is there.
  // False of what cannot be.
  bool pass_unseen(std::string_view bytes);

  // ---- Notifications ----
  //
  // Somebody else hears them for the client (pubsub/): those that come from servers are dropped.

  // from_server() has stopped before a ReadyForQuery that the client must not see yet: it listens
  // to other channels than before, or has notified itself. Call release() when state()->listen is
  // heard and it has been told, then from_server() again.
  bool held() const { return held_; }
  void release();
  // The number of a transaction that notified (protocol/session_state.h), since the last call.
  std::optional<uint64_t> take_notified() { return std::exchange(notified_, {}); }

  // ---- News of the server's for the pools (protocol/session_state.h), since the last call; 0 ----

  uint64_t take_epoch() { return std::exchange(epoch_, 0); }
  uint32_t take_vacated() { return std::exchange(vacate_, 0); }

  // ---- Where we are ----

  // Nothing under way, in no transaction.
  bool at_rest() const;
  // At rest, and the session can be given another server.
  bool movable() const { return at_rest() && pinned_by().empty(); }
  // Why it cannot, now; "" if it can.
  std::string_view pinned_by() const;
  // No answer is owed, and no message half passed on.
  bool nothing_under_way() const {
    return exchange_.outstanding.empty() && client_body_ == 0 && server_body_ == 0;
  }
  bool restoring() const { return restoring_; }
  // What refuse() or a loss left to be told.
  wire::ErrorFields refusal() const { return refusal_ ? refusal_->why : wire::ErrorFields{}; }
  char transaction_status() const { return exchange_.transaction_status; }
  const StatePtr& state() const { return state_; }
  const std::string& startup() const { return startup_; }
  uint64_t id() const { return id_; }
  // What roles and databases give a session that begins now: default_items(). The first time
  // counts.
  void begins_under(const std::string& defaults);
  // What the client has been told at its greeting.
  void begins_with(ReportedPtr reported) { view_ = std::move(reported); }
  // What it has been told since; null before.
  const ReportedPtr& view() const { return view_; }
  // What ends the server: FATAL, or that it could not be made this client's. Not passed on.
  const wire::ErrorFields* fatal() const { return fatal_.get(); }

  // Since the last call.
  struct Counts {
    uint64_t queries = 0;
    uint64_t transactions = 0;
  };
  Counts take_counts() { return std::exchange(counts_, {}); }

 private:
  using Kind = OutstandingRequest::Kind;
  using Job = OutstandingRequest::Job;
  using Phase = Exchange::Phase;

  enum class Step { done, incomplete, wait };
  struct Refusal {
    wire::ErrorFields why;
    bool told = false;
  };
  // Of what a statement needed when a message of the client had to wait for it: by id of the text.
  struct Verified {
    std::optional<wire::ErrorFields> failure;
    Description description = kNotDescribed;
  };

  // ---- conversation_client.cc: what the client says ----
  struct ClientMessage {
    wire::Frontend type;
    std::string_view bytes;  // All of it that is there, with the header.
    size_t size;             // Of the whole.
    bool complete() const { return bytes.size() == size; }
    // It can be passed on before it is complete.
    bool streams() const;
    std::string_view body() const { return bytes.substr(5); }
  };
  // What a server says of a COPY whose client has turned to something else.
  static constexpr std::string_view kNotInCopy = "unexpected message type during COPY from stdin";
  static std::optional<ClientMessage> next_message(std::string_view bytes);
  // Up to the first zero; all where there is none.
  static std::string_view text_of(std::string_view bytes) {
    return bytes.substr(0, bytes.find('\0'));
  }
  Step take(const ClientMessage& message, std::string& to_server);
  bool must_settle_copy(wire::Frontend next, std::string& to_server);
  Step take_query(const ClientMessage& message, std::string& to_server);
  void pass(const ClientMessage& message, std::string& to_server);
  void drop(const ClientMessage& message);
  Injector inject(std::string& to_server) { return {exchange_, *server_, to_server}; }
  size_t needed_of(const ClientMessage& message) const;
  bool answer_one(const ClientMessage& message, std::string& to_client);
  void forget_what_is_lost();

  // ---- conversation_statements.cc: what it says of prepared statements ----
  // Tells the server by which names SQL may call statements, and makes sure that it has those.
  bool tell_names(std::string_view sql, bool simple, std::string& to_server);
  bool has_names() const;
  bool may_be_known(std::string_view name) const;
  bool must_settle(std::string_view name, std::string& to_server);
  Step take_parse(const ClientMessage& message, std::string& to_server);
  Step take_named_parse(std::string_view name, std::string_view parse, std::string& to_server);
  Step take_bind(const ClientMessage& message, std::string& to_server);
  void pass_bind(const ClientMessage& message, std::string_view name, std::string_view server_name,
                 std::string& to_server);
  Step take_describe(const ClientMessage& message, std::string& to_server);
  Step take_close(const ClientMessage& message, std::string& to_server);
  // Makes sure that the server has what the client calls so, if that knows it: it is there, or its
  // message must wait, or the server was made to raise an error in its place.
  enum class Ensured { there, wait, failed };
  Ensured ensure(std::string_view name, std::string& to_server);
  Ensured ensure_named(ClientStatement& statement, std::string_view name, std::string& to_server);
  Ensured ensure_unnamed(std::string& to_server);
  const Verified* verified(const TextPtr& text) const;
  void refresh(const TextPtr& text, std::string_view name, wire::Frontend end,
               std::string& to_server);
  std::string server_name_for(std::string_view name);
  bool settings_may_differ(const StatementText& text) const;
  bool is_foreign(std::string_view name) const;
  void parse_unnamed_again(std::string& to_server);
  void end_unnamed(OutstandingRequest& by);
  void close_surplus(std::string& to_server);

  // ---- conversation_server.cc: what the server says ----
  // What from_server() does with a message: most are passed on as they are.
  enum class Fate { pass, drop };
  [[noreturn]] static void unexpected(wire::Backend type);
  Fate judge(wire::Backend type, std::string_view body, std::string& to_client);
  Fate judge_status(std::string_view body);
  Fate judge_error(std::string_view body, std::string& to_client);
  void end_for_broken_copy(wire::ErrorFields fields, std::string& to_client);
  Fate judge_ready(std::string_view body, std::string& to_client);
  bool must_hold() const;
  Fate judge_completion(std::string_view body);
  Fate answered(Kind kind);
  void take_report(std::string_view report);
  void skip_to_sync();
  void tell_view_changes(std::string& to_client);
  std::string settings_now() const { return state_->parse_settings + server_->parse_changes; }

  // ---- conversation_descriptions.cc: what its answers tell of prepared statements ----
  Fate judge_parsed();
  Fate judge_description(wire::Backend type, std::string_view body);
  void described(OutstandingRequest& by, Description description);
  void replace_named(const std::string& name, const TextPtr& was, const ClientStatement& is);
  void replace_unnamed(const TextPtr& was, const ClientStatement& is);
  void forget_statements();
  void deallocated(const std::string& name);
  void undo(OutstandingRequest& one);
  void undo_before(std::vector<OutstandingRequest>::iterator end);
  std::string in_clients_words(std::string_view error) const;

  StatementTexts& texts_;
  std::string startup_;  // default_items() and startup_items().
  bool has_defaults_ = false;
  const bool pooled_;
  const uint64_t id_;

  // The client's side.
  StatePtr state_ = fresh_state();
  ReportedPtr view_;  // Null until a first server has been greeted.
  StatementNames names_;
  std::vector<std::string> heard_;    // The channels that are heard for it.
  std::optional<uint64_t> notified_;  // Not taken yet.
  bool notified_itself_ = false;      // Since the last ReadyForQuery.
  bool held_ = false;
  std::unique_ptr<Refusal> refusal_;  // Errors are boxed: most clients never have any.
  std::unique_ptr<wire::ErrorFields> message_refusal_;  // Of the next message, while attached.
  bool transaction_lost_ = false;  // The client must see a failed transaction until it ends it.
  std::optional<wire::Frontend> copy_broken_by_;
  uint64_t client_body_ = 0;  // Left of a message that is passed on in pieces.
  bool client_body_dropped_ = false;
  bool hurried_ = false;  // The next message is passed on as it comes.

  // The server's side.
  ServerState* server_ = nullptr;
  Exchange exchange_;
  uint64_t epoch_ = 0;
  uint32_t vacate_ = 0;
  bool block_ended_ = false;  // Since the last ReadyForQuery.
  bool restoring_ = false;
  bool waiting_ = false;          // The next message of the client, for all that is outstanding.
  bool sql_names_bound_ = false;  // Since the last Sync: SQL that may be about statements' names.
  std::unique_ptr<std::map<uint64_t, Verified>> verified_;  // For the message that waited.
  uint64_t all_dropped_ = 0;  // DEALLOCATE ALL and the like, since the last report.
  std::string types_;         // Of parameters, of a description that is coming in.
  uint64_t server_body_ = 0;
  bool server_body_dropped_ = false;
  std::unique_ptr<wire::ErrorFields> fatal_;
  Counts counts_;
};

}  // namespace halogen::proxy
