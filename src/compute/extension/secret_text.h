// secret_text.h: whether a text may carry a secret, by the words in it. No server needed.
#ifndef HALOGEN_EXTENSION_SECRET_TEXT_H
#define HALOGEN_EXTENSION_SECRET_TEXT_H

// Returns where in `text` the first sign of a secret is, NULL without one: the words of a statement
// that has a place for one (CREATE USER, CREATE SUBSCRIPTION, ...: mistyped, it does not parse, and
// the secret is still in it), a word for a secret (password, token, ...), or a URI with a password.
// `text` may be NULL. Rather one too many: only a line of the log depends on it.
const char* hg_find_secret(const char* text);

#endif
