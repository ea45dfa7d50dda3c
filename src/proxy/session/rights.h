// rights.h: whether what let a client in still holds. Computes and servers come and go under a
// session, so Postgres does not settle that once for all as it does for a private one.
#pragma once
#include "proxy/auth/login_counts.h"
#include "proxy/pool/server.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

class Rights {
 public:
  explicit Rights(ClientSide& client) : client_(client) {}

  // What has just let the client in. Throws Refused for a role that may not log in: as Postgres,
  // after the password, since the name of a role is told to nobody else.
  void note(const RoleSecret& secret);
  // Before a server is given to a client that is in: if logins have changed since that was last
  // asked, would it be let in now, and as the same role? Refused as a newcomer would be.
  Task<void> check();
  // The server is of the role and the database that this session began with: names go from one to
  // another.
  bool cover(const ServerLogin& login) const;
  // As cover(), and from now on they are known. Throws Refused.
  void recognize(const ServerLogin& login);
  // Counts against the limits of role and database, until the session's end. Throws Refused.
  void take_seats(const ServerLogin& login);
  // Of which moment it is known that they hold.
  const LoginMoment& as_of() const { return as_of_; }

 private:
  ClientSide& client_;
  uint32_t role_ = 0;  // OIDs; 0: not known yet.
  uint32_t database_ = 0;
  size_t verifier_ = 0;  // A hash of it.
  LoginMoment as_of_;
  LoginCounts::Seat role_seat_;
  LoginCounts::Seat database_seat_;
};

}  // namespace halogen::proxy
