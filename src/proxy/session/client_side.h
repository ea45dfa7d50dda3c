// client_side.h: the client's side of a session: its connection (a Stream, over whatever channel it
// came), who it is as far as known, why it must go, and how whoever works for it waits. On the
// worker's thread, but for what says otherwise.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/ip_address.h"
#include "base/log_trace.h"
#include "postgres/wire.h"
#include "proxy/auth/route.h"
#include "proxy/auth/work_limits.h"
#include "proxy/io/refused.h"
#include "proxy/io/stream.h"
#include "proxy/io/worker.h"
#include "proxy/session/shared.h"

namespace halogen::proxy {

// Whom the client says to be, and has shown to be once it is authenticated.
struct Login {
  std::string user;
  Route route;
  wire::Parameters parameters;  // Of the startup packet: what the compute is told.
  uint16_t minor = 0;           // Of the protocol that is spoken.

  // "" if not given.
  std::string_view parameter(std::string_view name) const;
  std::string database() const;
};

// Why a session goes on no longer. The first reason counts, but that it is dismissed counts more.
enum class End {
  none,
  left,         // The client ended its side, or is gone; or nothing more can be said to it.
  timed_out,    // It has not shown in time who it is.
  crowded_out,  // Others wait for its place.
  dismissed,    // last_words() say why.
};

// That its bytes come inside something else, which keeps them private: the frames of a WebSocket,
// or queries over HTTP. No encryption is negotiated inside, and the password is asked for as it is.
struct Tunnel {
  std::string host;     // What it asked for, in place of SNI.
  bool pooled = false;  // Whatever the host name says.
};

struct Origin {
  std::string peer;  // For the log.
  IpAddress address;
  std::optional<Tunnel> tunnel{};
};

class ClientSide {
 public:
  ClientSide(Shared& the_shared, Worker& the_worker, Connection connection, Origin origin);
  ClientSide(const ClientSide&) = delete;
  ClientSide& operator=(const ClientSide&) = delete;
  // Whose life is ours; before anything waits.
  void belongs_to(const std::shared_ptr<void>& session);

  // ---- Its end ----
  void end(End why);
  void dismiss(const wire::ErrorFields& last_words);
  End ended() const { return end_; }
  const wire::ErrorFields& last_words() const { return *last_words_; }  // Of one dismissed.
  bool has_left() const { return end_ == End::left; }
  bool is_dismissed() const { return end_ == End::dismissed; }
  bool must_end() const { return end_ != End::none || shared.stopping; }
  // Throws `cancelled` if the session must end, Refused if the request that waits was canceled.
  void throw_if_ended();
  void log_end(std::string_view what) const;
  // For whoever debugs.
  void note(std::string_view what) const;

  // ---- What it is told ----
  // What goes to it without waiting leaves `bytes`; true if that is all.
  bool tell_at_once(std::string_view& bytes);
  // One after the other: more than one loop has something to say.
  Task<void> tell(std::string_view bytes);
  bool is_telling() const { return telling_; }

  // ---- Waiting ----
  // Those that wait for an event go on, and look whether what they wait for is there.
  void signal() { event_.signal(); }
  Task<void> wait_for_event(Deadline deadline);
  // Calls `ask` with a callback for any thread, and waits for its answer; nullopt if the deadline
  // passed. Throws as throw_if_ended().
  template <typename T, typename Ask>
  Task<std::optional<Outcome<T>>> answer_of(Ask ask, Deadline deadline);
  // A function for any thread that has `work` done on the loop, if the session is still there.
  template <typename Work>
  auto later(Work work) const;
  // A unit of work for a client that has not shown who it is. While too many of its address are
  // under way it waits for its turn.
  Task<void> charge_work();

  // As log lines have it.
  std::string id_text() const { return fmt::format("{:x}", id); }

  Shared& shared;
  Worker& worker;
  const uint64_t id;
  const std::string peer;
  const IpAddress address;
  const std::optional<Tunnel> tunnel;
  Stream stream;
  Login login;
  const steady_clock::time_point since = steady_clock::now();
  const Deadline startup_deadline;
  WorkLimits::Charge charge;  // Until it has logged in.
  bool understands = false;   // It has said what it wants, and may be told by a message.
  bool waits_for_us = false;  // While starting: not we for it.
  bool cancel_asked = false;  // For the request that waits for a server.

 private:
  friend class EndWatch;
  static Task<void> watch(Loop& loop, std::weak_ptr<ClientSide> weak, uint64_t number);

  std::weak_ptr<ClientSide> self_;
  Event event_;
  bool telling_ = false;  // Bytes are on their way.
  Event told_;            // They are out.
  End end_ = End::none;
  std::unique_ptr<wire::ErrorFields> last_words_;
  uint64_t watch_ = 0;  // The number of the EndWatch there is; 0: none.
  uint64_t watches_ = 0;
};

// While it exists, but for a first moment: a client that gives up, as it waits for us, ends its
// session.
class EndWatch {
 public:
  explicit EndWatch(ClientSide& client);
  ~EndWatch() { client_.watch_ = 0; }
  EndWatch(const EndWatch&) = delete;
  EndWatch& operator=(const EndWatch&) = delete;

 private:
  ClientSide& client_;
  Timer begins_;
};

template <typename Work>
auto ClientSide::later(Work work) const {
  return [at = worker.weak_from_this(), alive = self_, work = std::move(work)](auto... given) {
    std::shared_ptr<Worker> there = at.lock();
    if (!there) return;
    there->loop.post([alive, work, ... given = std::move(given)]() mutable {
      if (auto kept = alive.lock()) work(std::move(given)...);
    });
  };
}

template <typename T, typename Ask>
Task<std::optional<Outcome<T>>> ClientSide::answer_of(Ask ask, Deadline deadline) {
  auto answer = std::make_shared<std::optional<Outcome<T>>>();
  // It may come late, when nobody waits any more.
  auto answered = later([this, answer](Outcome<T> outcome) {
    *answer = std::move(outcome);
    signal();
  });
  {
    log::Trace trace(id_text());
    ask(std::move(answered));
  }
  while (!answer->has_value() && !deadline.passed()) {
    throw_if_ended();
    co_await wait_for_event(deadline);
  }
  co_return std::move(*answer);
}

}  // namespace halogen::proxy
