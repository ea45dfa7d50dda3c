// admin_session.h: a session with the admin view in place of a compute: it wakes none, and keeps
// none awake.
#pragma once
#include <string>

#include "proxy/conversation/session_state.h"
#include "proxy/session/client_side.h"
#include "proxy/session/request_stats.h"

namespace halogen::proxy {

class AdminSession {
 public:
  AdminSession(ClientSide& client, RequestStats& stats) : client_(client), stats_(stats) {}

  static bool is_wanted(const Login& login);
  // What the client is told of itself at the beginning.
  static ReportedPtr reported(const Login& login);
  // Until the client ends it.
  Task<void> serve();

 private:
  Task<PoolerStatus> own_status();

  ClientSide& client_;
  RequestStats& stats_;
};

}  // namespace halogen::proxy
