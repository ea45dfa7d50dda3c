#include "proxy/simulation/compute.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cctype>

#include "net/socket.h"

namespace halogen::proxy::simulation {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kGreetingTime{500};
constexpr milliseconds kStatementTime{2000};
constexpr milliseconds kUnnoticed{500};  // Until a crash is.
constexpr std::string_view kMessageTypes = "QPBDECSHFXdcf";

// All but who and where, and what is the proxy's own.
testing::FakeSession::Settings settings_of(const wire::Startup& startup) {
  testing::FakeSession::Settings settings;
  for (auto& [name, value] : startup.parameters)
    if (name != "user" && name != "database" && !name.starts_with("halogen."))
      settings[name] = value;
  return settings;
}

}  // namespace

std::vector<std::string> tokens_in(std::string_view text) {
  std::vector<std::string> tokens;
  auto digits = [&](size_t at) {
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) at++;
    return at;
  };
  for (size_t at = text.find('c'); at != std::string_view::npos; at = text.find('c', at + 1)) {
    size_t client = digits(at + 1);
    if (client == at + 1 || client >= text.size() || text[client] != 'x') continue;
    size_t number = digits(client + 1);
    if (number == client + 1 || number >= text.size() || text[number] != 'y') continue;
    tokens.emplace_back(text.substr(at, number + 1 - at));
  }
  return tokens;
}

Task<void> later(Loop& loop, steady_clock::duration time, std::function<void()> work) {
  co_await pause(loop, time);
  work();
}

// ---- Backend ----

Backend::Backend(Ground& ground, Compute& compute, UniqueFd socket, uint32_t pid)
    : ground_(ground),
      compute_(compute),
      pid_(pid),
      name_(fmt::format("server{}", pid)),
      stream_(ground.loop, std::move(socket)),
      messages_(stream_) {}

Task<void> Backend::run(std::shared_ptr<Backend> /*self*/) {
  try {
    co_await live();
  } catch (const Error& error) {
    failed(error);
  }
  try {
    check_owners(messages_.rest());
  } catch (const Error& error) {
    failed(error);
  }
  stream_.shutdown_send();
  compute_.left(*this);
}

void Backend::failed(const Error& error) {
  ground_.journal.note(name_, error.what());
  if (error.code() == Errc::corrupt)
    ground_.journal.found(name_,
                          fmt::format("a server was sent what is no message: {}", error.what()));
}

// A message, or the beginning of one, is one client's.
void Backend::check_owner(std::string_view bytes) {
  std::vector<std::string> tokens = tokens_in(bytes);
  auto owner = [](const std::string& token) { return token.substr(0, token.find('x')); };
  for (const std::string& token : tokens)
    if (owner(token) != owner(tokens[0]))
      ground_.journal.found(name_, fmt::format("was sent {} and {} in one message: {}", tokens[0],
                                               token, in_short(bytes[0], bytes.substr(1))));
}

// What was not taken any more: whole messages, and perhaps the beginning of one.
void Backend::check_owners(std::string_view bytes) {
  while (auto message = wire::parse_message(as_bytes(bytes))) {
    check_owner(bytes.substr(0, message->size));
    bytes.remove_prefix(message->size);
  }
  check_owner(bytes);
}

Task<void> Backend::live() {
  std::optional<wire::Startup> startup = co_await messages_.opening();
  if (!startup) co_return;
  if (startup->code == wire::kCancelRequest) {
    co_await pause(ground_.loop, ground_.chance.up_to(kGreetingTime));
    compute_.cancel(startup->cancel_pid);
    co_return;
  }
  co_await greet(*startup);
  while (!terminated_) {
    std::optional<Message> message = co_await messages_.next();
    if (!message || message->type == 'X') break;
    co_await take(*message);
  }
}

Task<void> Backend::greet(const wire::Startup& startup) {
  co_await pause(ground_.loop, ground_.chance.up_to(kGreetingTime));
  bool reports = startup.parameter("halogen.report_session") == "on";
  testing::FakePostgres::Options options{settings_of(startup), reports};
  postgres_ = std::make_unique<testing::FakePostgres>(compute_.cluster(), options);
  std::string out;
  wire::put_authentication_ok(out);
  for (auto& [name, value] : postgres_->reported()) wire::put_parameter_status(out, name, value);
  wire::put_backend_key(out, pid_, pid_);
  wire::put_ready_for_query(out);
  co_await stream_.write(out);
}

Task<void> Backend::take(const Message& message) {
  ground_.journal.note(name_, in_short(message.type, message.body));
  if (kMessageTypes.find(message.type) == std::string_view::npos)
    throw Error(Errc::corrupt, "of type {:#x}", static_cast<unsigned char>(message.type));
  check_owner(message.body);
  compute_.note_seen(message);
  busy_ = true;
  if (ground_.chance.one_in(8)) co_await pause(ground_.loop, ground_.chance.up_to(kStatementTime));
  busy_ = false;
  if (terminated_) co_return;
  if (std::exchange(cancelled_, false) && testing::FakePostgres::interruptible(message.type))
    postgres_->interrupt({"57014", "canceling statement due to user request"});
  std::string out;
  postgres_->take(message.bytes(), out);
  co_await stream_.write(out);
}

void Backend::terminate() {
  terminated_ = true;
  std::string out;
  if (postgres_ && ground_.chance.one_in(2)) postgres_->end("57P01", out);
  if (!busy_ && stream_.can_talk()) stream_.write_what_fits(out);
  stream_.cancel();
}

// ---- Compute ----

Compute::Compute(Ground& ground, fs::path folder) : ground_(ground), folder_(std::move(folder)) {}

void Compute::start() {
  address_.start++;
  address_.socket_folder = (folder_ / std::to_string(address_.start)).string();
  fs::create_directories(address_.socket_folder);
  door_ = std::make_shared<Door>();
  door_->socket =
      net::listen_unix(net::postgres_socket_path(address_.socket_folder, address_.port));
  ::fcntl(door_->socket.get(), F_SETFL, O_NONBLOCK);
  door_->watch = Watch::start(ground_.loop, door_->socket.get());
  ground_.loop.spawn(accept(door_));
  believed_ = true;
  ground_.journal.note(kComputeName, fmt::format("start {}", address_.start));
}

Task<void> Compute::accept(std::shared_ptr<Door> door) {
  while (door->socket.valid()) {
    if (!co_await door->watch->readable()) co_return;
    UniqueFd socket(::accept4(door->socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) continue;
    auto backend = std::make_shared<Backend>(ground_, *this, std::move(socket), next_pid_++);
    backends_[backend->pid()] = backend;
    ground_.loop.spawn(backend->run(backend));
  }
}

void Compute::close() {
  if (!door_) return;
  door_->watch->interrupt();
  door_->watch.reset();
  door_->socket.reset();
  door_.reset();
}

void Compute::suspend() {
  ground_.journal.note(kComputeName, "is suspended");
  believed_ = false;
  close();
  for (auto& [pid, backend] : backends_) backend->terminate();
}

void Compute::crash() {
  ground_.journal.note(kComputeName, "crashes");
  losses_++;
  close();
  for (auto& [pid, backend] : backends_) {
    dying_.insert(pid);
    backend->crash();
  }
  uint64_t start = address_.start;
  ground_.loop.spawn(later(ground_.loop, ground_.chance.up_to(kUnnoticed), [this, start] {
    if (address_.start == start) believed_ = false;
  }));
}

void Compute::end_one_backend() {
  if (backends_.empty()) return;
  auto one = backends_.begin();
  std::advance(one, ground_.chance.below(backends_.size()));
  ground_.journal.note(kComputeName, fmt::format("server{} is ended", one->first));
  losses_++;
  dying_.insert(one->first);
  one->second->terminate();
}

void Compute::cancel(uint32_t pid) {
  auto found = backends_.find(pid);
  ground_.journal.note(kComputeName, fmt::format("cancel request for server{}", pid));
  if (found != backends_.end()) found->second->cancel();
}

void Compute::note_seen(const Message& message) {
  for (std::string& token : tokens_in(message.body)) seen_.insert(std::move(token));
}

}  // namespace halogen::proxy::simulation
