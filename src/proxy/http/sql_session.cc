#include "proxy/http/sql_session.h"

#include "base/error.h"
#include "proxy/io/pipe.h"

namespace halogen::proxy {
namespace {

constexpr std::chrono::seconds kCancelTime{10};

}  // namespace

SqlSession::SqlSession(Shared& shared, Worker& worker, Origin origin) : loop_(worker.loop) {
  auto [ours, theirs] = make_pipe(loop_);
  state_ = std::make_shared<State>(loop_, std::move(ours));
  std::make_shared<Session>(shared, worker, std::move(theirs), std::move(origin))->start();
}

// What still sends goes on by itself, and ends.
SqlSession::~SqlSession() {
  state_->stream.shutdown_send();
  state_->stream.cancel();
}

void SqlSession::send(std::string bytes) {
  State& state = *state_;
  if (!state.sending) bytes.erase(0, state.stream.write_what_fits(bytes));
  if (bytes.empty()) return;
  state.to_send += bytes;
  if (std::exchange(state.sending, true)) return;
  loop_.spawn(send_rest(state_), [](const std::exception_ptr&) {});
}

Task<void> SqlSession::send_rest(std::shared_ptr<State> state) {
  while (!state->to_send.empty()) {
    std::string bytes = std::exchange(state->to_send, std::string());
    co_await state->stream.write(bytes);
  }
  state->sending = false;
}

Task<void> SqlSession::cancel(Shared& shared, Worker& worker, Origin origin, std::string key) {
  SqlSession session(shared, worker, std::move(origin));
  Writer packet;
  packet.be_put(static_cast<uint32_t>(2 * sizeof(uint32_t) + key.size()));
  packet.be_put(wire::kCancelRequest).text(key);
  session.send(packet.take());
  Timer limit(worker.loop);
  limit.set(steady_clock::now() + kCancelTime, [&session] { session.stream().cancel(); });
  char byte;
  while (co_await session.stream().read_some({&byte, 1}) > 0) {
  }
}

}  // namespace halogen::proxy
