// wal_session.h: one connection of the WAL server, from its startup packet to its end.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/token.h"
#include "net/socket.h"
#include "postgres/wire.h"
#include "safekeeper/replication_command.h"
#include "safekeeper/timeline.h"

namespace halogen::safekeeper {

// Whom a WAL server lets in.
struct WalGate {
  bool asks_for_token = true;
  // The timeline, for as long as it is served. Throws permission_denied, and not_found if the token
  // is right or none is asked for.
  std::function<std::shared_ptr<Timeline>(TimelineId, const std::optional<Token>&)> open;
};

class WalSession {
 public:
  // `admitted` is called once the client is no stranger any more.
  WalSession(net::Socket& socket, const WalGate& gate, std::function<void()> admitted)
      : socket_(socket), gate_(gate), admitted_(std::move(admitted)) {}

  // Returns, or throws, when the connection is over.
  void run();

 private:
  static constexpr size_t kMaxClientMessage = 1u << 20;
  enum class Next { go_on, end };

  bool start_up();
  void open_timeline(const wire::Startup& startup, Deadline deadline);
  std::optional<Token> ask_for_token(Deadline deadline);
  void send_greeting(const wire::Startup& startup);
  Next handle(const wire::Message& message);
  void execute(const ReplicationCommand& command);
  void identify_system();
  void show(const std::string& setting);
  void read_slot();
  void start_replication(const ReplicationCommand& command);
  void send_result(std::span<const wire::Column> columns, const wire::Row& row,
                   std::string_view tag);

  // Streaming.
  void stream(WalStore::Reader& reader);
  void send_wal(WalStore::Reader& reader);
  void wait(WalStore::Reader& reader);
  bool take_messages();  // False once the client has said CopyDone.
  void keep_alive(WalStore::Reader& reader);

  void send_error(const wire::ErrorFields& fields);
  void flush_output();
  // The next whole message; waits for it.
  wire::Message receive(size_t max_size = kMaxClientMessage, Deadline deadline = Deadline::never());
  std::optional<wire::Message> next_message(size_t max_size = kMaxClientMessage);
  void consume_last();

  net::Socket& socket_;
  const WalGate& gate_;
  const std::function<void()> admitted_;
  std::shared_ptr<Timeline> timeline_;
  std::string input_;
  size_t last_size_ = 0;  // Of the message handed out last: still at input_'s front.
  std::string output_;
  std::vector<std::byte> wal_;
  steady_clock::time_point last_sent_;
  steady_clock::time_point last_received_;
  bool reply_requested_ = false;  // And not answered yet.
};

}  // namespace halogen::safekeeper
