#include "login_option.h"

#include <string.h>

bool hg_take_login_secret(char* options, char secret[HALOGEN_LOGIN_SECRET_SIZE]) {
  const size_t name = sizeof(HALOGEN_LOGIN_OPTION) - 1;
  const size_t whole = name + HALOGEN_LOGIN_SECRET_SIZE;
  if (options == NULL) return false;
  const size_t size = strlen(options);
  if (size < whole || memcmp(options, HALOGEN_LOGIN_OPTION, name) != 0) return false;
  if (options[whole] != '\0' && options[whole] != ' ') return false;
  memcpy(secret, options + name, HALOGEN_LOGIN_SECRET_SIZE);
  const size_t rest = size - whole;
  memmove(options, options + whole, rest);
  explicit_bzero(options + rest, whole);
  return true;
}
