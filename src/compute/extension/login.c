// login.c: nobody gets a session on a compute's own socket without this start's secret.
//
// pg_hba.conf trusts all who reach the socket, as no method of Postgres' could do more: the roles
// are the clients' own, and the proxy has authenticated them. So the question here is whether the
// peer is the platform. The shim has the answer: it was given the secret before Postgres began, and
// knows what the platform looks like from here.
#include "login.h"

#include <dlfcn.h>

#include "login_option.h"
#include "pg.h"

#include "libpq/auth.h"
#include "libpq/libpq-be.h"

static bool (*admit)(int socket, const char* secret);
static ClientAuthentication_hook_type next_hook;

static void check_login(Port* port, int status) {
  char secret[HALOGEN_LOGIN_SECRET_SIZE];
  const bool given = hg_take_login_secret(port->cmdline_options, secret);
  const bool admitted = admit(port->sock, given ? secret : NULL);
  explicit_bzero(secret, sizeof secret);
  if (!admitted)
    ereport(FATAL, errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
            errmsg("authentication failed"));
  if (next_hook != NULL) next_hook(port, status);
}

void hg_login_init(void) {
  if (!process_shared_preload_libraries_in_progress) return;
  // Without the shim this is no compute: the template cluster, a test's server.
  admit = (bool (*)(int, const char*))dlsym(RTLD_DEFAULT, "halogen_shim_admit");
  void (*guarded)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "halogen_shim_logins_are_checked");
  if (admit == NULL || guarded == NULL) return;
  next_hook = ClientAuthentication_hook;
  ClientAuthentication_hook = check_login;
  guarded();
}
