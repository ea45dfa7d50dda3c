// route.h: which endpoint a client means. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "postgres/wire.h"

namespace halogen::proxy {

struct Route {
  std::string endpoint;  // Without "-pooler".
  bool pooled = false;   // "-pooler" was there.

  bool operator==(const Route&) const = default;
};

// Of a host name asked for by SNI: its first label, if that is an endpoint's ("ep-...") or a
// branch's
// ("br-...").
std::optional<Route> route_of_host(std::string_view host);

// Whether it names a branch, whose endpoint is meant.
bool is_branch(const Route& route);

// Of endpoint=<ep> (or project=<ep>) in the `options` parameter. The word is taken out, and the
// parameter too if nothing else was in it.
std::optional<Route> take_route_of_options(wire::Parameters& parameters);

// Takes out what a driver has found in a connection string and passes on, although it is meant for
// a driver and no setting of Postgres', which would refuse the connection for it: sslmode,
// channel_binding (in our own strings), pgbouncer, ...
void drop_driver_options(wire::Parameters& parameters);
// "neon_lsn:..." or "neon_timestamp:...", taken out of the `options` parameter likewise: the moment
// of the past that the client wants to look at.
std::optional<std::string> take_moment_of_options(wire::Parameters& parameters);

struct PasswordRoute {
  Route route;
  std::string_view password;
};
// Of a password like "endpoint=<ep>;<password>" or "endpoint=<ep>$<password>".
std::optional<PasswordRoute> route_of_password(std::string_view text);

}  // namespace halogen::proxy
