#include "proxy/session/compute_use.h"

namespace halogen::proxy {
namespace {

constexpr std::chrono::milliseconds kRetryPause{100};
constexpr std::string_view kCannotConnectNow = "57P03";
constexpr std::string_view kTooManyConnections = "53300";

constexpr std::chrono::milliseconds kRoomTime{1000};
constexpr std::chrono::milliseconds kRoomPause{10};

}  // namespace

void ComputeUse::begin() {
  if (std::exchange(in_use_, true)) return;
  start_ = shared_.endpoints.use_began(login_.route.endpoint);
}

void ComputeUse::end() {
  if (!std::exchange(in_use_, false)) return;
  start_.reset();
  shared_.endpoints.use_ended(login_.route.endpoint);
}

std::optional<uint64_t> ComputeUse::current_start() const {
  std::optional<uint64_t> start = shared_.endpoints.use_began(login_.route.endpoint);
  shared_.endpoints.use_ended(login_.route.endpoint);
  return start;
}

Task<ComputeAddress> ComputeUse::wake(Deadline deadline) {
  client_.note("asks for its compute");
  auto answer = co_await client_.answer_of<ComputeAddress>(
      [this](auto done) { shared_.endpoints.wake(login_.route.endpoint, std::move(done)); },
      deadline);
  if (answer && answer->value) {
    start_ = answer->value->start;
    if (shared_.pools.compute_is(login_.route.endpoint, *answer->value))
      shared_.listeners.compute_is(login_.route.endpoint, *answer->value);
    co_await listeners_ready(answer->value->start, deadline);
    co_return *answer->value;
  }
  shared_.metrics.wake_failures.add();
  constexpr std::string_view kHint = "Try again shortly; if it persists, see the platform's log.";
  if (!answer)
    throw Refused(kCannotConnectNow,
                  fmt::format("the compute of this endpoint did not start within {} s",
                              shared_.options.wake_timeout.count() / 1000),
                  kHint, Errc::timed_out);
  throw Refused(kCannotConnectNow,
                fmt::format("the compute of this endpoint could not be started: {}",
                            answer->error ? answer->error->what() : "unknown error"),
                kHint, Errc::unavailable);
}

// What there are too many connections for, in Postgres' words; else it is all of the server.
Pools::Full ComputeUse::full_of(const wire::ErrorFields& refused) const {
  Pools::Full full;
  if (refused.message.starts_with("too many connections for role")) full.role = login_.user;
  if (refused.message.starts_with("too many connections for database"))
    full.database = login_.database();
  return full;
}

// Idle servers are no users. A backend gives its place back a while after it was closed: until then
// it is worth trying again.
bool ComputeUse::make_room(const wire::ErrorFields& refused, steady_clock::time_point& until) {
  auto now = steady_clock::now();
  if (shared_.pools.make_room(login_.route.endpoint, full_of(refused))) until = now + kRoomTime;
  return now < until;
}

Task<ServerPtr> ComputeUse::connect(const wire::Parameters& parameters, Deadline deadline,
                                    For whom) {
  CHECK(in_use_, "invariant 4: a compute is connected to that may be suspended meanwhile");
  auto room_until = steady_clock::now();
  while (true) {
    ComputeAddress address = co_await wake(deadline);
    Opened opened = co_await open_server(client_.worker, address, parameters, deadline);
    if (opened.server) {
      shared_.pools.epoch_is(login_.route.endpoint, opened.server->start,
                             opened.server->login.epoch);
      co_return std::move(opened.server);
    }
    std::chrono::milliseconds time_to_wait = kRetryPause;
    if (opened.refused) {
      if (opened.refused->sqlstate != kTooManyConnections) throw Refused(*opened.refused);
      bool room = make_room(*opened.refused, room_until);
      Pools::Full full = full_of(*opened.refused);
      bool at_limit = full.role || full.database;
      if (whom == For::pool || (whom == For::newcomer_to_pool && !at_limit)) co_return nullptr;
      if (!room) throw Refused(*opened.refused);
      time_to_wait = kRoomPause;
    } else if (deadline.passed()) {
      throw Refused(kCannotConnectNow, "the compute of this endpoint takes no connections",
                    "Try again shortly; if it persists, see the platform's log.", Errc::timed_out);
    }
    co_await client_.wait_for_event(Deadline::after(time_to_wait));
    client_.throw_if_ended();
  }
}

// What the compute's clients notify from now on must not be missed by those that listen.
Task<void> ComputeUse::listeners_ready(uint64_t start, Deadline deadline) {
  auto done = std::make_shared<bool>(false);
  shared_.listeners.ready(login_.route.endpoint, start, client_.later([this, done] {
    *done = true;
    client_.signal();
  }));
  while (!*done && !deadline.passed() && !client_.must_end() && !client_.cancel_asked)
    co_await client_.wait_for_event(deadline);
}

}  // namespace halogen::proxy
