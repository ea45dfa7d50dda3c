// console.h: the console at the API's port: its page, and the cookie by which it uses the API.
//
// A cookie is sent by the browser whoever causes the request, and to every port of a host. So it
// counts only together with a header that no form and no page of another origin can send
// (`X-Halogen-Console`; it would have to ask first, and is never told yes), and with an `Origin`
// and a `Sec-Fetch-Site`, where there are any, that are our own.
#pragma once
#include <httplib.h>

#include <memory>
#include <string>

#include "control/console/files.h"
#include "control/console/sessions.h"

namespace halogen::control::api {

class Console {
 public:
  // Without files only the API is served; its sessions work all the same.
  Console(std::shared_ptr<const console::ConsoleFiles> files, console::ConsoleSessions& sessions,
          int port);

  // Whether this asks for a page or an asset rather than for the API. Needs no key.
  bool serves(const httplib::Request& request) const;
  void serve(const httplib::Request& request, httplib::Response& response) const;

  // Whether the request shows a session's cookie, and comes from the console's own page.
  bool admits(const httplib::Request& request) const;
  // The token in its cookie; empty if it has none, or comes from elsewhere.
  std::string token(const httplib::Request& request) const;

  // The header that gives a session to the browser, or takes it away if `token` is empty.
  std::string set_cookie(const std::string& token, bool secure) const;

  console::ConsoleSessions& sessions() const { return sessions_; }

 private:
  const std::shared_ptr<const console::ConsoleFiles> files_;
  console::ConsoleSessions& sessions_;
  const std::string cookie_;  // With the port in its name: cookies do not know ports.
};

}  // namespace halogen::control::api
