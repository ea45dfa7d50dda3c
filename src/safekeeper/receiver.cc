#include "safekeeper/receiver.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "protocol/login_secret.h"

namespace halogen::safekeeper {
namespace {

const log::Logger logger("safekeeper");

constexpr std::chrono::seconds kCommandTimeout{10};
// A compute that is starting is there within milliseconds; one that has gone may stay away.
constexpr std::chrono::milliseconds kFirstPause{2};
constexpr std::chrono::milliseconds kLongestPause{200};
constexpr std::chrono::milliseconds kFailurePause{1000};

// This much from one recv is a bulk load: then as much as kMaxGroup is gathered for one flush, as
// long as there is more within kGather.
constexpr size_t kBulk = 64 * 1024;
constexpr size_t kMaxGroup = 1u << 20;
constexpr std::chrono::milliseconds kGather{1};

metrics::Gauge pulls =
    metrics::gauge("halogen_safekeeper_streams", "Computes that WAL is being received from.");

}  // namespace

std::string slot_name(const std::string& application_name) {
  std::string name = application_name.substr(0, 63);
  for (char& c : name) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!allowed) c = '_';
  }
  return name.empty() ? "halogen" : name;
}

Receiver::Receiver(Options options, WalSink& sink)
    : options_(std::move(options)),
      slot_(slot_name(options_.source.application_name)),
      sink_(sink),
      client_({.host = options_.source.host,
               .port = options_.source.port,
               .user = options_.source.user,
               .application_name = options_.source.application_name,
               .startup_options = with_login_secret(options_.source.login_secret)}),
      thread_([this] { run(); }) {}

void Receiver::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_requested_.notify_all();
  }
  // Bytes that are in our socket are still handed out, then comes the end of the stream.
  client_.interrupt();
  if (thread_.joinable()) thread_.join();
}

bool Receiver::sleep(std::chrono::milliseconds time) {
  auto until = steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_ && stop_requested_.wait_until(mutex_, until)) {
  }
  return !stopping_;
}

void Receiver::run() {
  std::chrono::milliseconds pause = kFirstPause;
  for (;;) {
    streaming_ = false;
    bool refused = false;
    try {
      stream();
    } catch (const Error& error) {
      report(error);
      if (error.code() == Errc::cancelled || error.code() == Errc::fenced) break;
      refused = error.code() != Errc::unavailable && error.code() != Errc::timed_out;
    }
    if (streaming_) pulls.sub();
    if (streaming_ && !refused) pause = kFirstPause;
    if (!sleep(refused ? kFailurePause : pause)) return;
    pause = std::min(pause * 3 / 2 + std::chrono::milliseconds(1), kLongestPause);
  }
  if (streaming_) pulls.sub();
}

void Receiver::report(const Error& error) {
  if (streaming_) failing_since_ = steady_clock::now();
  switch (error.code()) {
    case Errc::cancelled:
    case Errc::unavailable:
    case Errc::timed_out:
      if (streaming_) logger.info("{}: no longer receiving: {}", options_.name, error.what());
      if (error.code() == Errc::cancelled ||
          steady_clock::now() - failing_since_ < options_.patience)
        return;
      break;
    case Errc::fenced:
      logger.info("{}: stopped receiving: {}", options_.name, error.what());
      return;
    default:
      break;
  }
  if (reported_ == error.what()) return;
  reported_ = error.what();
  sink_.set_problem(reported_);
  if (error.code() == Errc::io)
    log_full_disk(options_.name, error);
  else
    logger.error("{}: cannot receive WAL from {}, so commits wait: {}", options_.name,
                 options_.source.host, error.what());
}

void Receiver::stream() {
  client_.connect(Deadline::after(kCommandTimeout));
  const Lsn from = sink_.restart();
  start_streaming(from);
  try {
    receive_loop(from);
  } catch (const Error& error) {
    // Disconnected: what has arrived is kept, if the term is not over.
    if (error.code() == Errc::unavailable || error.code() == Errc::cancelled) sink_.flush();
    throw;
  }
}

void Receiver::start_streaming(Lsn from) {
  auto deadline = Deadline::after(kCommandTimeout);
  std::vector<wire::Row> identity = client_.command("IDENTIFY_SYSTEM", deadline);
  std::string expected = std::to_string(options_.system_identifier);
  if (identity.size() != 1 || identity[0].empty() || identity[0][0] != expected)
    throw Error(Errc::conflict, "the compute is of system {}, but this timeline is of {}",
                identity.empty() || identity[0].empty() ? "?" : identity[0][0].value_or("?"),
                expected);
  try {
    // Keeps the compute from removing WAL that we do not have yet.
    client_.command(fmt::format("CREATE_REPLICATION_SLOT \"{}\" PHYSICAL (RESERVE_WAL)", slot_),
                    deadline);
  } catch (const Error& error) {
    if (error.code() != Errc::already_exists) throw;
  }
  client_.start_replication(from, slot_, deadline);
}

void Receiver::receive_loop(Lsn from) {
  streaming_ = true;
  pulls.add();
  reported_.clear();
  sink_.set_problem("");
  logger.info("{}: receiving WAL from {}", options_.name, from.str());
  Lsn flushed = from;
  client_.send_status(flushed, flushed, flushed);
  for (;;) {
    client_.receive();
    Arrived arrived = take_arrived();
    // In a bulk load a flush of a few hundred kilobytes costs as much as one of a megabyte.
    for (size_t last = arrived.bytes; last >= kBulk && arrived.bytes < kMaxGroup;) {
      if (!client_.receive(Deadline::after(kGather))) break;
      Arrived more = take_arrived();
      last = more.bytes;
      arrived.bytes += more.bytes;
      arrived.reply |= more.reply;
    }
    if (arrived.bytes > 0) {
      flushed = sink_.flush();
      reported_.clear();
    }
    if (arrived.bytes > 0 || arrived.reply) acknowledge(flushed);
  }
}

// Appends all that has been received.
Receiver::Arrived Receiver::take_arrived() {
  Arrived arrived;
  while (std::optional<wire::WalMessage> message = client_.next()) {
    if (message->kind == 'w') {
      sink_.append(message->start, message->data);
      arrived.bytes += message->data.size();
    } else {
      arrived.reply |= message->reply_requested;
    }
  }
  return arrived;
}

void Receiver::acknowledge(Lsn flushed) {
  try {
    client_.send_status(flushed, flushed, flushed);
  } catch (const Error& error) {
    // The other end has gone, or we are to stop; what it sent before is worth keeping, and the end
    // of the stream comes behind it.
    if (error.code() != Errc::unavailable) throw;
  }
}

}  // namespace halogen::safekeeper
