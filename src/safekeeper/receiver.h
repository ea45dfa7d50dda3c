// receiver.h: pulls WAL from a compute, as a standby of it. The commit hot path.
//
// Each round: what has arrived (recv), written (pwrite), made durable (fdatasync), acknowledged
// (send). While one round is at the disk the next one gathers in the socket, so one fdatasync
// serves all who commit meanwhile.
//
// Threads: one, started by the constructor. Postgres going away is normal: it reconnects.
#pragma once
#include <chrono>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/lsn.h"
#include "base/mutex.h"
#include "net/replication_client.h"
#include "protocol/safekeeper_admin.h"
#include "safekeeper/inflow.h"

namespace halogen::safekeeper {

// Where the WAL goes. Called by the receiver's thread only.
class WalSink {
 public:
  virtual ~WalSink() = default;
  // Forgets what was not flushed; the position to stream from.
  virtual Lsn restart() = 0;
  // Throws fenced when the term is over; io when the disk is full; corrupt when `at` is not where
  // the log ends.
  virtual void append(Lsn at, Bytes wal) = 0;
  // What was appended is durable; up to where. Throws fenced when the term is over.
  virtual Lsn flush() = 0;
  // Why WAL does not come, for an operator; empty when it does.
  virtual void set_problem(const std::string& why) = 0;
};

class Receiver final : public Inflow {
 public:
  struct Options {
    std::string name;  // For the log.
    WalSource source;
    uint64_t system_identifier = 0;
    // A compute that is away, starting or stopping for longer is worth an operator's look.
    std::chrono::milliseconds patience{30'000};
  };

  Receiver(Options options, WalSink& sink);
  ~Receiver() override { stop(); }

  // Takes what has already arrived (unless the sink is fenced), disconnects, ends the thread.
  void stop();

 private:
  struct Arrived {
    size_t bytes = 0;    // Of WAL.
    bool reply = false;  // Is wanted at once.
  };

  void run();
  // One connection, from its beginning to its end by an Error.
  void stream();
  void start_streaming(Lsn from);
  void receive_loop(Lsn from);
  Arrived take_arrived();
  void acknowledge(Lsn flushed);
  void report(const Error& error);
  bool sleep(std::chrono::milliseconds time) EXCLUDES(mutex_);

  const Options options_;
  const std::string slot_;
  WalSink& sink_;
  net::ReplicationClient client_;
  bool streaming_ = false;
  std::string reported_;  // The last failure in the log, not to say it again.
  std::chrono::steady_clock::time_point failing_since_ = std::chrono::steady_clock::now();
  Mutex mutex_;
  CondVar stop_requested_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// A replication slot's name: the application name with what a slot may not have replaced.
std::string slot_name(const std::string& application_name);

}  // namespace halogen::safekeeper
