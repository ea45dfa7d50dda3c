// admin.h: the admin view: SHOW commands as PgBouncer has them, answered from a snapshot. Pure.
//
// A client that asks for the database "pgbouncer" talks to this. AdminCommands gives rows for a
// command; AdminConversation speaks the protocol, simple and extended.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "postgres/wire.h"
#include "protocol/pooler_status.h"

namespace halogen::proxy {

constexpr std::string_view kAdminDatabase = "pgbouncer";

struct AdminAnswer {
  std::vector<wire::Column> columns;  // None: no rows are told.
  std::vector<wire::Row> rows;
  std::string tag;
  std::string notice;
  std::optional<wire::ErrorFields> error;
  uint64_t ends = 0;  // The client with this id is to be ended; 0: none.
};

// Of one command, without its semicolon, given by `role`.
AdminAnswer answer_admin(std::string_view command, const PoolerStatus& status,
                         std::string_view role);

class AdminConversation {
 public:
  explicit AdminConversation(std::string role) : role_(std::move(role)) {}
  // Returns how much of `bytes` it used: the rest is the beginning of a message. Throws corrupt on
  // what is no protocol.
  size_t take(std::string_view bytes, const PoolerStatus& status, std::string& to_client);
  bool ended() const { return ended_; }  // By the client.
  // Clients that are to be ended (PoolerClient::id), since the last call.
  std::vector<uint64_t> take_endings() { return std::exchange(endings_, {}); }

 private:
  struct Portal {
    std::string command;
    std::vector<int16_t> formats;
  };
  void take_message(const wire::Message& message, const PoolerStatus& status, std::string& out);
  void take_query(std::string_view sql, const PoolerStatus& status, std::string& out);
  void take_bind(Bytes body, std::string& out);
  void take_describe(Bytes body, const PoolerStatus& status, std::string& out);
  void take_execute(Bytes body, const PoolerStatus& status, std::string& out);
  void take_close(Bytes body, std::string& out);
  void put_answer(const AdminAnswer& answer, std::span<const int16_t> formats, bool described,
                  std::string& out);
  void fail(std::string_view sqlstate, std::string_view message, std::string& out);
  void follow_transaction(const AdminAnswer& answer);

  const std::string role_;
  std::vector<uint64_t> endings_;
  std::map<std::string, std::string> statements_;
  std::map<std::string, Portal> portals_;
  char status_ = 'I';
  bool skipping_ = false;  // Until Sync, after an error.
  bool ended_ = false;
};

}  // namespace halogen::proxy
