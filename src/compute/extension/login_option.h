// login_option.h: the login secret in a startup packet's options (protocol/login_secret.h). Pure:
// it needs nothing of Postgres.
#ifndef HALOGEN_EXTENSION_LOGIN_OPTION_H
#define HALOGEN_EXTENSION_LOGIN_OPTION_H

#include <stdbool.h>

#include "protocol/login_secret.h"

#ifdef __cplusplus
extern "C" {
#endif

// Moves the secret out of `options` (NULL: none were given), which then holds what is meant for
// Postgres; nothing of the secret is left there. False, and nothing moved, if it does not begin
// with a whole one.
bool hg_take_login_secret(char* options, char secret[HALOGEN_LOGIN_SECRET_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
