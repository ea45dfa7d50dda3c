// replication_client.h: the client end of Postgres' physical replication, blocking.
//
// connect(), commands, start_replication(), then a loop: receive() waits for bytes, and next()
// hands out, without copying, every message that has arrived. Works against a Postgres compute and
// against a safekeeper.
//
// Threads: one thread uses it; interrupt() may be called from any.
// Errors: `unavailable` when the server is away or closes; what the server refuses is `not_found`
// (slot or WAL file missing), `unavailable` (starting up or shutting down), else `conflict`, with
// the server's text; `cancelled` after interrupt().
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "net/socket.h"
#include "postgres/wire.h"

namespace halogen::net {

class ReplicationClient {
 public:
  struct Options {
    std::string host;  // A unix socket folder if it begins with '/', else a TCP host.
    int port = 5432;
    std::string user;
    std::string application_name;
    std::string startup_options;  // The startup packet's `options`, if not empty.
    std::string password;         // For a server that asks for one in clear text.
    // Holds several of a walsender's largest messages (128 KiB each).
    size_t buffer_size = 1u << 20;
  };

  explicit ReplicationClient(Options options);

  void connect(Deadline deadline);

  // A replication command such as IDENTIFY_SYSTEM: the rows of its answer.
  std::vector<wire::Row> command(const std::string& text, Deadline deadline);
  // Streams from exactly `from`. An empty slot name means none.
  void start_replication(Lsn from, const std::string& slot, Deadline deadline);
  // For a server's own additions to the command.
  void start_streaming(const std::string& command, Deadline deadline);

  // Blocks until bytes have arrived (true) or the deadline (false). Ends what next() returned.
  bool receive(Deadline deadline = Deadline::never());
  // The next complete message received, nullopt when receive() must be called. Its data is valid
  // until the next receive(). The server's end of stream is `unavailable`.
  std::optional<wire::WalMessage> next();

  void send_status(Lsn write, Lsn flush, Lsn apply, bool reply_requested = false);

  // Ends the call that another thread is in, and all later ones.
  void interrupt() EXCLUDES(mutex_);

 private:
  std::optional<wire::Message> next_message();
  wire::Message wait_message(Deadline deadline);
  void finish_startup(Deadline deadline);
  void authenticate(uint32_t request, Deadline deadline);
  void throw_if_interrupted() EXCLUDES(mutex_);
  size_t receive_into(std::span<std::byte> into, Deadline deadline);

  const Options options_;
  Socket socket_;
  std::unique_ptr<std::byte[]> buffer_;
  size_t begin_ = 0;  // The unparsed bytes are [begin_, end_) of buffer_.
  size_t end_ = 0;
  std::string outgoing_;  // Kept for its capacity.

  Mutex mutex_;
  bool interrupted_ GUARDED_BY(mutex_) = false;
  bool connected_ GUARDED_BY(mutex_) = false;  // socket_ may be shut down by interrupt().
};

}  // namespace halogen::net
