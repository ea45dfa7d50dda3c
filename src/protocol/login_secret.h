// login_secret.h: how a client of a compute's own socket shows that it is the platform.
//
// Each start of a compute has a secret of its own: 64 random hex digits. A client says it first in
// `options`, a parameter of the startup packet that every Postgres client can set:
//
//   -c halogen.login_secret=<64 digits>[ <the options that are meant for Postgres>]
//
// The extension takes it out before Postgres reads the options, so no setting of that name ever
// exists. No other place of the packet counts, nor does a second secret.
#ifndef HALOGEN_PROTOCOL_LOGIN_SECRET_H
#define HALOGEN_PROTOCOL_LOGIN_SECRET_H

#define HALOGEN_LOGIN_OPTION "-c halogen.login_secret="

enum { HALOGEN_LOGIN_SECRET_SIZE = 64 };

#ifdef __cplusplus
#include <string>
#include <string_view>

namespace halogen {

// Returns the value for `options`. An empty secret is none: of a server that asks for none.
inline std::string with_login_secret(std::string_view secret, std::string_view options = {}) {
  std::string out;
  if (!secret.empty()) out.append(HALOGEN_LOGIN_OPTION).append(secret);
  if (!out.empty() && !options.empty()) out += ' ';
  return out.append(options);
}

}  // namespace halogen
#endif

#endif
