// notification.h: NotificationResponse messages, and whose they are. Pure.
//
// https://www.postgresql.org/docs/15/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTIFICATIONRESPONSE
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halogen::proxy {

// A whole message. Shared between all that are told it.
using MessagePtr = std::shared_ptr<const std::string>;

// A transaction that notified: the backend that ran it, and its number there
// (protocol/session_state.h).
struct NotifyingTransaction {
  uint32_t backend = 0;
  uint64_t number = 0;
};

// What a connection that listens for many clients hears, in order, with the process id that the
// notifying client knows as its own, and the ends of its transactions.
//
// A notification names the backend that a client used. Its session says, with attribute(), which
// client had that backend for the transaction; what is heard before waits for it, but not for
// longer than kPatience.
class NotificationOrder {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kPatience{200};

  struct Heard {
    std::string channel;
    MessagePtr message;                         // Null where a transaction ends:
    std::optional<NotifyingTransaction> ended;  // all that it notified has been heard.
  };

  // A whole NotificationResponse. Throws corrupt.
  void arrived(std::string_view message, Time now);
  void attribute(const NotifyingTransaction& transaction, uint32_t client_pid);
  // What can be told by now.
  std::vector<Heard> take(Time now);
  // When take() tells more, whether or not anybody says whose it is; nullopt if nothing waits.
  std::optional<Time> patience_ends() const;
  // Whether all that the transaction notified has been taken.
  bool has_ended(const NotifyingTransaction& transaction) const;

 private:
  struct Arrived {
    uint32_t backend;
    std::string channel;
    std::string message;
    uint64_t begins = 0;  // The number of a transaction, in its mark.
    uint64_t ends = 0;
    Time when;
  };
  struct Backend {
    std::map<uint64_t, uint32_t> clients;  // By transaction, for those that are not over.
    std::optional<uint32_t> client;        // Of the transaction that is being heard.
    uint64_t ended = 0;
  };

  bool may_begin(const Arrived& mark, Time now);
  void end(const Arrived& mark);

  std::deque<Arrived> waiting_;
  std::map<uint32_t, Backend> backends_;
};

// What is to be told to one client. Bounded in bytes: who listens and does not read is not kept
// for.
class NotificationInbox {
 public:
  static constexpr size_t kMostBytes = 16 << 20;
  static constexpr size_t kHelping = 64 << 10;

  bool empty() const { return messages_.empty(); }
  // False if that is too much.
  bool put(const std::vector<MessagePtr>& messages);
  // The first kHelping bytes, in whole messages; more if one is larger.
  std::string take();

 private:
  std::deque<MessagePtr> messages_;
  size_t bytes_ = 0;
};

}  // namespace halogen::proxy
