// Whether what let a client in still holds. Computes and servers come and go under a session, so
// Postgres does not settle that once for all as it does for a private one.
#include "proxy/session/session.h"

namespace halogen::proxy {
namespace {

size_t hash_of(const std::string& verifier) { return std::hash<std::string>()(verifier); }

}  // namespace

Refused Session::wrong_password() const {
  return Refused("28P01", fmt::format("password authentication failed for user \"{}\"", user_));
}

// As Postgres, which does this after the password: the name of a role is told to nobody else.
void Session::note_rights(const RoleSecret& secret) {
  if (!secret.can_login)
    throw Refused("28000", fmt::format("role \"{}\" is not permitted to log in", user_));
  rights_.role = secret.oid;
  rights_.verifier = hash_of(secret.verifier);
  rights_.as_of = {secret.start, secret.epoch};
  shared_.pools.epoch_is(route_.endpoint, secret.start, secret.epoch);
}

// Before a server is given to a client that is in: if logins have changed since it was last asked,
// would it be let in now, and as the same role? Refused as a newcomer would be.
Task<void> Session::check_rights() {
  if (state_ != State::active) co_return;
  LoginMoment now = shared_.pools.moment_of(route_.endpoint);
  if (rights_.as_of == now) co_return;
  auto answer = co_await answer_of<RoleSecret>(
      [this](auto done) { shared_.endpoints.role_secret(route_.endpoint, user_, std::move(done)); },
      Deadline::after(shared_.options.wake_timeout));
  if (answer && answer->error && answer->error->code() == Errc::not_found) throw wrong_password();
  if (!answer || !answer->value)
    throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.",
                  Errc::unavailable);
  const RoleSecret& secret = *answer->value;
  bool same = rights_.role == 0 || secret.oid == 0 || secret.oid == rights_.role;
  if (!same || hash_of(secret.verifier) != rights_.verifier || secret.has_expired())
    throw wrong_password();
  Rights before = rights_;
  note_rights(secret);
  if (secret.oid == 0) rights_.role = before.role;
  if (secret.start == 0) rights_.as_of = now;
}

bool Session::is_mine(const ServerLogin& login) const {
  auto same = [](uint32_t mine, uint32_t its) { return mine == 0 || its == 0 || mine == its; };
  return same(rights_.role, login.role) && same(rights_.database, login.database);
}

// The server is of the role and the database that this session began with: names go from one to
// another.
void Session::recognize(const ServerLogin& login) {
  if (!is_mine(login) && login.database != rights_.database && rights_.database != 0)
    throw Refused("3D000", fmt::format("database \"{}\" does not exist", database()));
  if (!is_mine(login)) throw wrong_password();
  if (rights_.role == 0) rights_.role = login.role;
  if (rights_.database == 0) rights_.database = login.database;
}

// As Postgres, the role's limit first.
void Session::take_seats(const ServerLogin& login) {
  if (login.role == 0) return;
  using Kind = LoginCounts::Place::Kind;
  auto take = [&](Kind kind, uint32_t oid, int most, std::string_view what) {
    std::optional<LoginCounts::Seat> seat =
        shared_.login_counts.take({route_.endpoint, kind, oid}, most);
    if (!seat) throw Refused("53300", fmt::format("too many connections for {}", what));
    return std::move(*seat);
  };
  role_seat_ = take(Kind::role, login.role, login.role_limit, fmt::format("role \"{}\"", user_));
  database_seat_ = take(Kind::database, login.database, login.database_limit,
                        fmt::format("database \"{}\"", database()));
}

// Before the client hears what the server has said, so that it never sees a change which the pools
// do not know yet.
void Session::take_news_for_pools(const Server& server) {
  if (uint64_t epoch = talk_->take_epoch(); epoch != 0)
    shared_.pools.epoch_is(route_.endpoint, server.start, epoch);
  if (uint32_t database = talk_->take_vacated(); database != 0)
    shared_.pools.vacate(route_.endpoint, database);
}

}  // namespace halogen::proxy
