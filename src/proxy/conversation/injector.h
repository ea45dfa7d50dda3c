// injector.h: what the proxy itself says to a server, in between what its client says.
//
// All of it is appended to `to_server`, and each message that will be answered is noted in the
// exchange. Statements to the extension: protocol/session_state.h.
#pragma once
#include <string>
#include <string_view>

#include "proxy/conversation/exchange.h"
#include "proxy/conversation/server_state.h"

namespace halogen::proxy {

class Injector {
 public:
  using Kind = OutstandingRequest::Kind;
  using Job = OutstandingRequest::Job;

  Injector(Exchange& exchange, ServerState& server, std::string& to_server)
      : exchange_(exchange), server_(server), out_(to_server) {}

  // Makes the connection the session that these items describe. In the extended protocol and
  // without Sync: should it fail before it begins, the server skips what the client says behind it.
  void restore(std::string_view startup, std::string_view state, std::string_view listen);
  // A transaction block that has failed.
  void failed_transaction();
  void sync(Job job);
  void flush();
  // By which names the client knows statements; with its own Sync if `alone`.
  void names(std::string_view items, bool alone);
  // Settings for a Parse that comes next, and back again.
  void settings_for(const TextPtr& text);
  void settings_back(const TextPtr& text);
  void parse(std::string_view name, const TextPtr& text, Job job);
  void describe(std::string_view name, const TextPtr& text, Job job);
  void close(std::string_view name);
  // Makes the server fail here, so that it skips what follows and its transaction fails, as they
  // must; the client is told `why`.
  void raise(wire::ErrorFields why);

 private:
  void statement(std::string_view sql, Job job, const TextPtr& text);

  Exchange& exchange_;
  ServerState& server_;
  std::string& out_;
};

// One message whose body is made of parts.
void put_parts(std::string& out, wire::Frontend type,
               std::initializer_list<std::string_view> parts);

}  // namespace halogen::proxy
