#include "proxy/pubsub/notification.h"

#include <charconv>

#include "base/bytes.h"
#include "protocol/session_state.h"

namespace halogen::proxy {
namespace {

constexpr size_t kHeader = 5;

// The number in a mark's payload; 0 if it is none of that kind.
uint64_t number_after(std::string_view kind, std::string_view payload) {
  if (!payload.starts_with(kind)) return 0;
  payload.remove_prefix(kind.size());
  uint64_t number = 0;
  auto [end, error] = std::from_chars(payload.data(), payload.data() + payload.size(), number);
  return error == std::errc() && end == payload.data() + payload.size() ? number : 0;
}

void put_pid(std::string& message, uint32_t pid) {
  for (size_t i = 0; i < sizeof pid; ++i)
    message[kHeader + i] = static_cast<char>(pid >> (8 * (sizeof pid - 1 - i)));
}

}  // namespace

void NotificationOrder::arrived(std::string_view message, Time now) {
  Reader body(as_bytes(message).subspan(kHeader));
  Arrived one{
      .backend = body.be_get<uint32_t>(), .channel = std::string(body.cstring()), .when = now};
  if (one.channel == kNotifyChannel) {
    std::string_view payload = body.cstring();
    one.begins = number_after("begin ", payload);
    one.ends = number_after("end ", payload);
    if (one.begins == 0 && one.ends == 0) return;  // Somebody else's.
  } else {
    one.message = message;
  }
  waiting_.push_back(std::move(one));
}

void NotificationOrder::attribute(const NotifyingTransaction& transaction, uint32_t client_pid) {
  if (!has_ended(transaction))
    backends_[transaction.backend].clients[transaction.number] = client_pid;
}

bool NotificationOrder::has_ended(const NotifyingTransaction& transaction) const {
  auto found = backends_.find(transaction.backend);
  return found != backends_.end() && found->second.ended >= transaction.number;
}

// Whether it is known whose transaction begins, or has been waited for long enough.
bool NotificationOrder::may_begin(const Arrived& mark, Time now) {
  Backend& backend = backends_[mark.backend];
  auto found = backend.clients.find(mark.begins);
  if (found == backend.clients.end() && now < mark.when + kPatience) return false;
  backend.client.reset();
  if (found != backend.clients.end()) backend.client = found->second;
  return true;
}

void NotificationOrder::end(const Arrived& mark) {
  Backend& backend = backends_[mark.backend];
  backend.client.reset();
  backend.clients.erase(backend.clients.begin(), backend.clients.upper_bound(mark.ends));
  backend.ended = mark.ends;
}

std::vector<NotificationOrder::Heard> NotificationOrder::take(Time now) {
  std::vector<Heard> heard;
  while (!waiting_.empty()) {
    Arrived& next = waiting_.front();
    if (next.begins != 0) {
      if (!may_begin(next, now)) break;
    } else if (next.ends != 0) {
      end(next);
      heard.push_back({{}, nullptr, NotifyingTransaction{next.backend, next.ends}});
    } else {
      auto known = backends_.find(next.backend);
      if (known != backends_.end() && known->second.client)
        put_pid(next.message, *known->second.client);
      heard.push_back({std::move(next.channel),
                       std::make_shared<const std::string>(std::move(next.message)),
                       {}});
    }
    waiting_.pop_front();
  }
  return heard;
}

std::optional<NotificationOrder::Time> NotificationOrder::patience_ends() const {
  if (waiting_.empty()) return std::nullopt;
  return waiting_.front().when + kPatience;
}

bool NotificationInbox::put(const std::vector<MessagePtr>& messages) {
  for (const MessagePtr& message : messages) {
    bytes_ += message->size();
    messages_.push_back(message);
  }
  return bytes_ <= kMostBytes;
}

std::string NotificationInbox::take() {
  std::string out;
  while (!messages_.empty() &&
         (out.empty() || out.size() + messages_.front()->size() <= kHelping)) {
    bytes_ -= messages_.front()->size();
    out += *messages_.front();
    messages_.pop_front();
  }
  return out;
}

}  // namespace halogen::proxy
