#include "compute/shim/login.h"

#include <sys/socket.h>

#include <cstring>

#include "protocol/login_secret.h"

namespace halogen::shim {
namespace {

constexpr char kVariable[] = "HALOGEN_LOGIN_SECRET=";

constinit char g_secret[HALOGEN_LOGIN_SECRET_SIZE] = {};
constinit bool g_guarded = false;
constinit bool g_checked = false;
constinit ucred g_platform = {};

bool credentials_of_peer(int socket, ucred* out) {
  socklen_t size = sizeof *out;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, out, &size) == 0;
}

// In time that does not depend on where they differ.
bool is_secret(const char* given) {
  unsigned difference = 0;
  for (size_t i = 0; i < sizeof g_secret; ++i)
    difference |= static_cast<unsigned char>(given[i] ^ g_secret[i]);
  return difference == 0;
}

// In a room (a pid namespace) nobody inside can look like the platform: what is outside has no pid
// here. Without one the user is all there is to ask for; root is no stranger.
bool is_outside(int socket) {
  ucred peer;
  if (!credentials_of_peer(socket, &peer)) return false;
  if (g_platform.pid == 0) return peer.pid == 0;
  return peer.uid == g_platform.uid || peer.uid == 0;
}

}  // namespace

void learn_platform(int socket) {
  if (!credentials_of_peer(socket, &g_platform)) g_platform = {};
}

bool take_login_secret(char* word) {
  if (std::strncmp(word, kVariable, sizeof kVariable - 1) != 0) return false;
  char* value = word + sizeof kVariable - 1;
  if (std::strlen(value) == sizeof g_secret) {
    std::memcpy(g_secret, value, sizeof g_secret);
    g_guarded = true;
  }
  ::explicit_bzero(value, std::strlen(value));
  return true;
}

bool logins_are_guarded() { return g_guarded; }

bool login_check_is_missing() { return g_guarded && !g_checked; }

void forget_login_secret() {
  if (g_guarded) ::explicit_bzero(g_secret, sizeof g_secret);
}

extern "C" {

// For the extension, by dlsym, in a process that has been forked for a client: `socket` is the
// client's, `secret` what it said, or null. True if it may have a session. One question only: the
// secret is wiped.
__attribute__((visibility("default"))) bool halogen_shim_admit(int socket, const char* secret);
bool halogen_shim_admit(int socket, const char* secret) {
  if (!g_guarded) return true;
  const bool known = secret != nullptr && is_secret(secret);
  forget_login_secret();
  return known && is_outside(socket);
}

// For the extension, by dlsym, in the postmaster: from now on it asks the above for each client.
__attribute__((visibility("default"))) void halogen_shim_logins_are_checked();
void halogen_shim_logins_are_checked() { g_checked = true; }

}  // extern "C"

}  // namespace halogen::shim
