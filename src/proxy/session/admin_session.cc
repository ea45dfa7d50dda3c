// A session with the admin view in place of a compute: it wakes none, and keeps none awake.
#include "proxy/admin/admin.h"
#include "proxy/session/session.h"

namespace halogen::proxy {

bool Session::is_admin() const { return login_.parameter("database") == kAdminDatabase; }

Task<void> Session::serve_admin() {
  auto reported = std::make_shared<Reported>(Reported{{"server_version", "15.0"},
                                                      {"server_encoding", "UTF8"},
                                                      {"client_encoding", "UTF8"},
                                                      {"standard_conforming_strings", "on"},
                                                      {"DateStyle", "ISO, MDY"},
                                                      {"IntervalStyle", "postgres"},
                                                      {"TimeZone", "UTC"},
                                                      {"integer_datetimes", "on"},
                                                      {"is_superuser", "off"},
                                                      {"session_authorization", login_.user}});
  co_await greet_client(reported);
  enter(State::active);
  AdminConversation conversation(login_.user);
  while (!conversation.ended()) {
    char piece[4096];
    size_t size = co_await client_.stream.read_some(piece);
    if (size == 0) {
      client_.end(End::left);
      co_return;
    }
    stats_.came(size, false);
    heard_.append(piece, size);
    PoolerStatus status = co_await own_status();
    std::string out;
    heard_.erase(0, conversation.take(heard_, status, out));
    for (uint64_t client : conversation.take_endings())
      shared_.census.end_client(login_.route.endpoint, client, [](bool) {});
    if (!out.empty()) co_await client_.stream.write(out);
  }
}

Task<PoolerStatus> Session::own_status() {
  constexpr std::chrono::seconds kPatience{5};
  auto answer = co_await client_.answer_of<Statuses>(
      [this](auto done) {
        shared_.census.take({login_.route.endpoint, true}, [done](Statuses all) {
          Outcome<Statuses> outcome;
          outcome.value = std::move(all);
          done(std::move(outcome));
        });
      },
      Deadline::after(kPatience));
  PoolerStatus status;
  if (answer && answer->value) status = std::move((*answer->value)[login_.route.endpoint]);
  status.endpoint = login_.route.endpoint;
  co_return status;
}

}  // namespace halogen::proxy
