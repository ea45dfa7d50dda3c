#include "proxy/session/admin_session.h"

#include "proxy/admin/admin.h"

namespace halogen::proxy {

bool AdminSession::is_wanted(const Login& login) {
  return login.parameter("database") == kAdminDatabase;
}

ReportedPtr AdminSession::reported(const Login& login) {
  return std::make_shared<Reported>(Reported{{"server_version", "15.0"},
                                             {"server_encoding", "UTF8"},
                                             {"client_encoding", "UTF8"},
                                             {"standard_conforming_strings", "on"},
                                             {"DateStyle", "ISO, MDY"},
                                             {"IntervalStyle", "postgres"},
                                             {"TimeZone", "UTC"},
                                             {"integer_datetimes", "on"},
                                             {"is_superuser", "off"},
                                             {"session_authorization", login.user}});
}

Task<void> AdminSession::serve() {
  AdminConversation conversation(client_.login.user);
  std::string heard;
  while (!conversation.ended()) {
    char piece[4096];
    size_t size = co_await client_.stream.read_some(piece);
    if (size == 0) {
      client_.end(End::left);
      co_return;
    }
    stats_.came(size, false);
    heard.append(piece, size);
    PoolerStatus status = co_await own_status();
    std::string out;
    heard.erase(0, conversation.take(heard, status, out));
    for (uint64_t client : conversation.take_endings())
      client_.shared.census.end_client(client_.login.route.endpoint, client, [](bool) {});
    if (!out.empty()) co_await client_.stream.write(out);
  }
}

Task<PoolerStatus> AdminSession::own_status() {
  constexpr std::chrono::seconds kPatience{5};
  auto answer = co_await client_.answer_of<Statuses>(
      [this](auto done) {
        client_.shared.census.take({client_.login.route.endpoint, true}, [done](Statuses all) {
          Outcome<Statuses> outcome;
          outcome.value = std::move(all);
          done(std::move(outcome));
        });
      },
      Deadline::after(kPatience));
  PoolerStatus status;
  if (answer && answer->value) status = std::move((*answer->value)[client_.login.route.endpoint]);
  status.endpoint = client_.login.route.endpoint;
  co_return status;
}

}  // namespace halogen::proxy
