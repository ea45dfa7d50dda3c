// login.h: who may open a session on a compute's server.
#ifndef HALOGEN_EXTENSION_LOGIN_H
#define HALOGEN_EXTENSION_LOGIN_H

// Installs the check in a compute's postmaster; does nothing in any other process. Call when the
// library is loaded.
void hg_login_init(void);

#endif
