// A session with the admin view in place of a compute: it wakes none, and keeps none awake.
#include "proxy/admin/admin.h"
#include "proxy/session/session.h"

namespace halogen::proxy {

bool Session::is_admin() const { return parameter("database") == kAdminDatabase; }

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
                                                      {"session_authorization", user_}});
  co_await greet_client(reported);
  enter(State::active);
  AdminConversation conversation(user_);
  while (!conversation.ended()) {
    char piece[4096];
    size_t size = co_await client_.read_some(piece);
    if (size == 0) {
      client_left_ = true;
      co_return;
    }
    asked_ = steady_clock::now();
    heard_.append(piece, size);
    PoolerStatus status = co_await own_status();
    std::string out;
    heard_.erase(0, conversation.take(heard_, status, out));
    for (uint64_t client : conversation.take_endings())
      shared_.census.end_client(route_.endpoint, client, [](bool) {});
    if (!out.empty()) co_await client_.write(out);
  }
}

Task<PoolerStatus> Session::own_status() {
  constexpr std::chrono::seconds kPatience{5};
  auto answer = co_await answer_of<Statuses>(
      [this](auto done) {
        shared_.census.take({route_.endpoint, true}, [done](Statuses all) {
          Outcome<Statuses> outcome;
          outcome.value = std::move(all);
          done(std::move(outcome));
        });
      },
      Deadline::after(kPatience));
  PoolerStatus status;
  if (answer && answer->value) status = std::move((*answer->value)[route_.endpoint]);
  status.endpoint = route_.endpoint;
  co_return status;
}

}  // namespace halogen::proxy
