#include "proxy/session/rights.h"

#include "proxy/session/authenticator.h"

namespace halogen::proxy {
namespace {

size_t hash_of(const std::string& verifier) { return std::hash<std::string>()(verifier); }

}  // namespace

void Rights::note(const RoleSecret& secret) {
  if (!secret.can_login)
    throw Refused("28000",
                  fmt::format("role \"{}\" is not permitted to log in", client_.login.user));
  role_ = secret.oid;
  verifier_ = hash_of(secret.verifier);
  as_of_ = {secret.start, secret.epoch};
  client_.shared.pools.epoch_is(client_.login.route.endpoint, secret.start, secret.epoch);
}

Task<void> Rights::check() {
  LoginMoment now = client_.shared.pools.moment_of(client_.login.route.endpoint);
  if (as_of_ == now) co_return;
  auto answer = co_await client_.answer_of<RoleSecret>(
      [this](auto done) {
        client_.shared.endpoints.role_secret(client_.login.route.endpoint, client_.login.user,
                                             std::move(done));
      },
      Deadline::after(client_.shared.options.wake_timeout));
  if (answer && answer->error && answer->error->code() == Errc::not_found)
    throw wrong_password(client_.login.user);
  if (!answer || !answer->value)
    throw Refused("57P03", "the role cannot be looked up at this moment", "Try again shortly.",
                  Errc::unavailable);
  const RoleSecret& secret = *answer->value;
  bool same = role_ == 0 || secret.oid == 0 || secret.oid == role_;
  if (!same || hash_of(secret.verifier) != verifier_ || secret.has_expired())
    throw wrong_password(client_.login.user);
  uint32_t role = role_;
  note(secret);
  if (secret.oid == 0) role_ = role;
  if (secret.start == 0) as_of_ = now;
}

bool Rights::cover(const ServerLogin& login) const {
  auto same = [](uint32_t mine, uint32_t its) { return mine == 0 || its == 0 || mine == its; };
  return same(role_, login.role) && same(database_, login.database);
}

void Rights::recognize(const ServerLogin& login) {
  if (!cover(login) && login.database != database_ && database_ != 0)
    throw Refused("3D000", fmt::format("database \"{}\" does not exist", client_.login.database()));
  if (!cover(login)) throw wrong_password(client_.login.user);
  if (role_ == 0) role_ = login.role;
  if (database_ == 0) database_ = login.database;
}

// As Postgres, the role's limit first.
void Rights::take_seats(const ServerLogin& login) {
  if (login.role == 0) return;
  using Kind = LoginCounts::Place::Kind;
  auto take = [&](Kind kind, uint32_t oid, int most, std::string_view what) {
    std::optional<LoginCounts::Seat> seat =
        client_.shared.login_counts.take({client_.login.route.endpoint, kind, oid}, most);
    if (!seat) throw Refused("53300", fmt::format("too many connections for {}", what));
    return std::move(*seat);
  };
  role_seat_ = take(Kind::role, login.role, login.role_limit,
                    fmt::format("role \"{}\"", client_.login.user));
  database_seat_ = take(Kind::database, login.database, login.database_limit,
                        fmt::format("database \"{}\"", client_.login.database()));
}

}  // namespace halogen::proxy
