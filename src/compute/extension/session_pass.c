// session_pass.c: whether a statement is the proxy's: protocol/session_state.h, "Passes".
#include "session.h"

#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "utils/guc.h"

#include "protocol/session_state.h"

enum { kMacDigits = 2 * PG_SHA256_DIGEST_LENGTH };

static char* setting;
static char secret[HALOGEN_SESSION_SECRET_SIZE + 1];
static uint64 last;  // Number of the last pass.

static const char* show_nothing(void) { return ""; }

static bool is_secret(char** value, void** extra, GucSource source) {
  const size_t size = strlen(*value);
  return size == 0 || (size == HALOGEN_SESSION_SECRET_SIZE &&
                       strspn(*value, "0123456789abcdef") == HALOGEN_SESSION_SECRET_SIZE);
}

static void keep(const char* value, void* extra) { strlcpy(secret, value, sizeof(secret)); }

static void mac_of(const char* number, size_t size, char digits[kMacDigits + 1]) {
  uint8 mac[PG_SHA256_DIGEST_LENGTH];
  pg_hmac_ctx* context = pg_hmac_create(PG_SHA256);
  if (context == NULL ||
      pg_hmac_init(context, (const uint8*)secret, HALOGEN_SESSION_SECRET_SIZE) < 0 ||
      pg_hmac_update(context, (const uint8*)number, size) < 0 ||
      pg_hmac_final(context, mac, sizeof(mac)) < 0)
    elog(ERROR, "cannot compute a MAC");
  pg_hmac_free(context);
  for (int i = 0; i < PG_SHA256_DIGEST_LENGTH; ++i) sprintf(digits + 2 * i, "%02x", mac[i]);
}

// Takes as long whether they differ early or late.
static bool same_digits(const char* a, const char* b) {
  int difference = 0;
  for (int i = 0; i < kMacDigits; ++i) difference |= a[i] ^ b[i];
  return difference == 0;
}

static bool is_good(const char* pass) {
  const size_t size = strspn(pass, "0123456789");
  if (secret[0] == '\0' || size == 0 || size > 19 || pass[size] != '.') return false;
  if (strlen(pass + size + 1) != kMacDigits) return false;
  char right[kMacDigits + 1];
  mac_of(pass, size, right);
  if (!same_digits(right, pass + size + 1)) return false;
  const uint64 number = strtou64(pass, NULL, 10);
  if (number <= last) return false;
  last = number;
  return true;
}

void hg_session_require_pass(const char* pass, const char* name) {
  if (pass != NULL && is_good(pass)) return;
  ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
          errmsg("permission denied to set parameter \"%s\"", name));
}

void hg_session_pass_init(void) {
  DefineCustomStringVariable(
      HALOGEN_SESSION_SECRET_SETTING, "Lets the connection's other end speak as the proxy.", NULL,
      &setting, "", PGC_BACKEND,
      GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL | GUC_DISALLOW_IN_FILE | GUC_SUPERUSER_ONLY, is_secret,
      keep, show_nothing);
}
