// authenticator.h: which endpoint a client wants, and whether it is the role that it says it is.
#pragma once
#include <optional>
#include <string>

#include "postgres/scram.h"
#include "postgres/startup.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class Authenticator {
 public:
  explicit Authenticator(ClientSide& client)
      : client_(client), shared_(client.shared), login_(client.login) {}

  // Fills in the client's login. Returns what let it in; throws Refused.
  Task<RoleSecret> authenticate(startup::Packet packet);

 private:
  // Has the client, which has shown who it is, read at a moment of the past instead.
  Task<void> go_back_to(const std::string& moment);
  Task<void> negotiate_version(const startup::Packet& packet);
  std::optional<Route> route_of(wire::Parameters& parameters) const;
  Task<std::string> receive_password(std::optional<Route>& route);
  // With the password it gave, or by SCRAM. Who may not even try is refused.
  Task<bool> proves_itself(std::optional<std::string> password);
  Task<void> hold_back(steady_clock::duration time);
  Task<scram::Verifier> find_verifier();
  Task<bool> password_is_right(const std::string& password);
  Task<bool> scram_succeeds();
  Task<std::string> receive_password_message();
  bool is_known() const { return shared_.endpoints.exists(login_.route.endpoint); }
  std::string counted_name() const;

  ClientSide& client_;
  Shared& shared_;
  Login& login_;
  std::optional<RoleSecret> secret_;  // While it is being checked.
};

// As Postgres says it, whatever was wrong.
Refused wrong_password(const std::string& user);

}  // namespace halogen::proxy
