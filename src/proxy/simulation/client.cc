#include "proxy/simulation/client.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "proxy/simulation/endpoints.h"
#include "proxy/simulation/scram_client.h"

namespace halogen::proxy::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr milliseconds kThinkTime{2000};
constexpr milliseconds kStall{60'000};
constexpr minutes kForEver{60};  // All that delays an answer is over long before.
constexpr seconds kStartOver{300};
constexpr seconds kCancelTime{5};  // Until a request that waits has been told.

bool may_be_refused_with(const std::string& sqlstate) {
  return sqlstate == "57P03" || sqlstate == "53300" || sqlstate == "57P01";
}

}  // namespace

Client::Client(Ground& ground, Compute& compute, Connect connect, size_t number)
    : ground_(ground),
      compute_(compute),
      connect_(std::move(connect)),
      name_(fmt::format("client{}", number)),
      number_(number),
      script_(ground.chance, number),
      changed_(ground.loop) {}

Task<void> Client::run(std::shared_ptr<Client> self) {
  while (ground_.journal.step() && !ground_.journal.finding()) {
    UniqueFd socket = connect_();
    socket_ = socket.get();
    stream_ = std::make_unique<Stream>(ground_.loop, std::move(socket));
    messages_ = std::make_unique<Messages>(*stream_);
    over_ = leaving_ = false;
    stalled_until_ = {};
    try {
      if (co_await log_in()) {
        hearing_ = true;
        ground_.loop.spawn(hear(self));
        co_await visit();
      }
    } catch (const Error& error) {
      note(error.what());
    }
    leaving_ = true;
    stream_->cancel();
    while (hearing_) co_await changed_;
    stream_.reset();
    co_await think();
  }
  left_ = true;
}

Task<void> Client::visit() {
  while (goes_on() && !leaving_ && ground_.journal.step()) co_await act();
  if (goes_on() && !leaving_) co_await say_goodbye();
}

// ---- Coming in ----

Task<bool> Client::log_in() {
  pooled_ = !ground_.chance.one_in(4);
  startup_.clear();
  if (ground_.chance.one_in(2)) startup_["TimeZone"] = script_.token();
  if (ground_.chance.one_in(2)) startup_["work_mem"] = script_.token();
  oracle_.emplace(ground_.journal, number_, pooled_, startup_);
  losses_ = compute_.losses();
  wire::Parameters parameters{{"user", "ann"},
                              {"database", "db"},
                              {"options", "endpoint=" + kEndpoint + (pooled_ ? "-pooler" : "")}};
  parameters.insert(parameters.end(), startup_.begin(), startup_.end());
  note(pooled_ ? "logs in, pooled" : "logs in, direct");
  co_await stream_->write(wire::startup_packet(parameters));
  while (std::optional<Message> message = co_await messages_->next()) {
    if (message->type == 'Z') co_return true;
    if (message->type == 'R') co_await prove(*message);
    if (message->type == 'K') key_ = message->body;
    if (message->type == 'E') {
      std::string sqlstate = wire::parse_error(as_bytes(message->body)).sqlstate;
      note("is not let in: " + sqlstate);
      if (!may_be_refused_with(sqlstate)) ground_.journal.found(name_, "refused: " + sqlstate);
      co_return false;
    }
    oracle_->greeted(*message);
  }
  ground_.journal.found(name_, "not let in, and not told why");
  co_return false;
}

Task<bool> Client::prove(const Message& asked) {
  uint32_t kind = wire::parse_authentication(as_bytes(asked.body));
  std::string said;
  if (kind == 10) said = scram_initial_response();
  if (kind == 11) said = scram_final(kPassword, std::string_view(asked.body).substr(4));
  if (said.empty()) co_return false;
  std::string message;
  wire::put_message(message, 'p', said);
  co_await stream_->write(message);
  co_return true;
}

// ---- Listening to the other side ----

Task<void> Client::hear(std::shared_ptr<Client> /*self*/) {
  try {
    while (true) {
      auto now = steady_clock::now();
      if (now < stalled_until_) co_await pause(ground_.loop, stalled_until_ - now);
      std::optional<Message> message = co_await messages_->next();
      if (!message) break;
      take(*message);
      changed_.signal();
    }
  } catch (const Error& error) {
    if (!leaving_) note(error.what());
  }
  // Last words wait for no client that reads nothing.
  bool may_be_cut = !messages_->rest().empty() || !pooled_;
  bool excused = oracle_->ended() || (may_be_cut && compute_.losses() > losses_);
  if (!leaving_ && !excused) ground_.journal.found(name_, "was left without a word");
  over_ = true;
  hearing_ = false;
  changed_.signal();
}

void Client::take(const Message& message) {
  note("hears " + in_short(message.type, message.body));
  if (leaving_) return;
  bool was_lost = oracle_->lost();
  oracle_->heard(message, compute_.losses() > losses_);
  if (oracle_->lost() && !was_lost) losses_ = compute_.losses();
}

// ---- What it does ----

Task<void> Client::act() {
  if (oracle_->lost()) co_return co_await start_over();
  switch (ground_.chance.below(20)) {
    case 0:
    case 1:
      co_return co_await cancel();
    case 2:
      note("stalls");
      stalled_until_ = steady_clock::now() + ground_.chance.up_to(kStall);
      co_return co_await ask();
    case 3:
      if (ground_.chance.one_in(3)) co_return co_await vanish();
      co_return co_await say_goodbye();
    case 4:
    case 5:
      co_return co_await think();
    default:
      co_return co_await ask();
  }
}

Task<void> Client::ask() {
  Request request = script_.next();
  if (request.alone) co_await answered();
  if (!goes_on() || oracle_->lost()) co_return;
  note("says " + in_short(request.bytes[0], std::string_view(request.bytes).substr(5)));
  co_await say(request.bytes);
  if (!request.data.empty()) {
    Deadline patience = Deadline::after(kForEver);
    while (goes_on() && !oracle_->lost() && !oracle_->asked_for_data() && !oracle_->settled() &&
           !patience.passed())
      co_await wait(patience);
    if (goes_on() && !oracle_->lost())
      co_await say(oracle_->asked_for_data() ? request.data : request.instead);
  }
  if (request.alone || !ground_.chance.one_in(4)) co_await answered();
}

// A request that waits for a server is canceled for good: it is told so soon, and never runs. But
// it waits only once it has been read; to cancel it before that has no effect, as on Postgres.
Task<void> Client::cancel() {
  co_await answered();
  auto now = steady_clock::now();
  if (now < stalled_until_) co_await pause(ground_.loop, stalled_until_ - now);
  if (!goes_on()) co_return;
  std::string token = script_.token();
  std::string sql = "SELECT " + token;
  note("says " + sql + ", to cancel it");
  co_await say(testing::Say().query(sql).bytes);
  co_await think();
  if (!goes_on() || oracle_->settled()) co_return;
  oracle_->has_canceled();
  bool was_read = all_is_read();
  co_await send_cancel();
  bool waited = was_read && !compute_.has_seen(token);
  note(waited ? "has canceled what waits" : "has canceled");
  co_await pause(ground_.loop, kCancelTime);
  bool unanswered = goes_on() && !oracle_->lost() && !oracle_->settled();
  if (waited && unanswered && !compute_.has_seen(token))
    ground_.journal.found(name_, "what waited for a server was canceled, and waits on");
  co_await answered();
}

// By the proxy, of what we have sent.
bool Client::all_is_read() const {
  int unread = 0;
  return ::ioctl(socket_, SIOCOUTQ, &unread) == 0 && unread == 0;
}

Task<void> Client::send_cancel() {
  Stream stream(ground_.loop, connect_());
  co_await stream.write(wire::cancel_request(byteswap(load<uint32_t>(key_.data())),
                                             byteswap(load<uint32_t>(key_.data() + 4))));
  char byte;
  while (co_await stream.read_some({&byte, 1}) > 0) {
  }
}

Task<void> Client::vanish() {
  std::string bytes = script_.next().bytes;
  bytes.resize(ground_.chance.below(bytes.size() + 1));
  note(fmt::format("says {} bytes and vanishes", bytes.size()));
  leaving_ = true;  // Half a message may be answered as well as the whole.
  co_await say(bytes);
  if (ground_.chance.one_in(2)) co_await think();
}

Task<void> Client::say_goodbye() {
  co_await answered();
  if (!goes_on() || oracle_->lost()) co_return;
  note("says goodbye");
  leaving_ = true;
  std::string bytes;
  wire::put_terminate(bytes);
  co_await stream_->write(bytes);
}

Task<void> Client::start_over() {
  while (goes_on() && oracle_->lost()) {
    std::string marker = script_.token();
    note("starts over: " + marker);
    oracle_->start_over(marker);
    co_await say(Script::start_over(marker));
    Deadline patience = Deadline::after(kStartOver);
    while (goes_on() && oracle_->lost() && !patience.passed()) co_await wait(patience);
    if (goes_on() && oracle_->lost() && !oracle_->failed())
      ground_.journal.found(name_, "waits for ever after a loss");
  }
}

// ---- Steps of these ----

// Where it fails, hear() finds out.
Task<void> Client::say(std::string_view bytes) {
  oracle_->said(bytes);
  bool in_pieces = ground_.chance.one_in(3);
  try {
    while (!bytes.empty() && goes_on()) {
      size_t size = in_pieces ? 1 + ground_.chance.below(bytes.size()) : bytes.size();
      co_await stream_->write(bytes.substr(0, size));
      bytes.remove_prefix(size);
      if (in_pieces && ground_.chance.one_in(4)) co_await think();
    }
  } catch (const Error& error) {
    note(error.what());
    bytes = {};
  }
}

Task<void> Client::answered() {
  Deadline patience = Deadline::after(kForEver);
  while (goes_on() && !oracle_->settled()) {
    if (oracle_->lost()) co_return co_await start_over();
    if (patience.passed()) co_return ground_.journal.found(name_, "waits for ever");
    co_await wait(patience);
  }
}

Task<void> Client::wait(Deadline deadline) {
  Timer timer(ground_.loop);
  timer.set(deadline.at(), [this] { changed_.signal(); });
  co_await changed_;
}

Task<void> Client::think() { co_await pause(ground_.loop, ground_.chance.up_to(kThinkTime)); }

}  // namespace halogen::proxy::simulation
