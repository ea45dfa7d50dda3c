// login.h: the secret of this start, by which the extension knows the platform
// (protocol/login_secret.h).
//
// It comes with what a postmaster that waits is told, and is in no environment: those can be read
// in /proc, and are passed on. Only the postmaster, and for a moment the children that it forks for
// clients, have it in memory.
#pragma once

namespace halogen::shim {

// `socket` is one that the platform made: notes what its maker looks like from here.
void learn_platform(int socket);
// True if `word`, NAME=value, is the secret: then it is taken, and wiped in `word`.
bool take_login_secret(char* word);
// There is a secret.
bool logins_are_guarded();
// There is a secret, and nobody asks for it.
bool login_check_is_missing();
// In a process that serves no client.
void forget_login_secret();

}  // namespace halogen::shim
