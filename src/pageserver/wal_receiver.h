// wal_receiver.h: follows a safekeeper's WAL of one timeline by the standard replication protocol,
// for as long as it lives: reconnects with backoff, tells the safekeeper what is durable here.
//
// Threads: its own, which calls the functions given; request_stop and stop from any.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "net/replication_client.h"

namespace halogen::pageserver {

class WalReceiver {
 public:
  struct Options {
    std::string name;  // The timeline: user name and for the log.
    std::string host;  // A unix socket folder.
    int port = 5432;
    std::function<std::string()> password;  // Called before each connection; may throw.
    // Where to start from, a record boundary; called before each connection, and what was fed
    // before and not complete is fed again. May wait, and may throw.
    std::function<Lsn()> begin;
    std::function<void(Lsn start, Bytes wal)> feed;
    std::function<Lsn()> durable;  // disk_consistent_lsn.
    std::function<void()> tick;    // About once a second while connected.
  };

  explicit WalReceiver(Options options);
  ~WalReceiver() { stop(); }
  WalReceiver(const WalReceiver&) = delete;
  WalReceiver& operator=(const WalReceiver&) = delete;

  // All WAL up to here has been fed; 0 while it has no connection.
  Lsn received() const { return Lsn(received_.load()); }

  // Ends soon, and at once where it waits for the safekeeper. Does not wait.
  void request_stop();
  // True once it has ended.
  bool wait_ended(Deadline deadline);
  // A feed that waits for the store must be woken by its owner first.
  void stop();

 private:
  void run();
  void follow();
  void take_messages(net::ReplicationClient& client, bool& reply);
  std::chrono::milliseconds failed(const Error& error);
  bool stop_requested() EXCLUDES(mutex_);

  const Options options_;
  std::atomic<uint64_t> received_ = 0;
  bool told_ = false;  // This outage is in the log.
  int outages_in_a_row_ = 0;
  Lsn begin_;       // Of this connection.
  Lsn damaged_at_;  // begin_ of the last connection that brought damaged WAL.
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<net::ReplicationClient> client_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace halogen::pageserver
