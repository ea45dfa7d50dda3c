#include "secret_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

// In lower case. A space stands for any white space and comments, at least one of them.
static const char* const kSigns[] = {
    "alter group",  "alter role",  "alter server",  "alter subscription",  "alter user",
    "create group", "create role", "create server", "create subscription", "create user",
    "access_key",   "api_key",     "apikey",        "begin private key",   "passphrase",
    "passwd",       "password",    "pwd=",          "scram-sha-256$",      "secret",
    "token",
};

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Behind white space and comments; `text` itself if it begins with neither. Comments do not nest
// here: a nested one ends too early, and what follows is looked at like all text.
static const char* skip_blank(const char* text) {
  for (;;) {
    if (is_space(*text)) {
      ++text;
    } else if (text[0] == '-' && text[1] == '-') {
      text += strcspn(text, "\r\n");
    } else if (text[0] == '/' && text[1] == '*') {
      const char* end = strstr(text + 2, "*/");
      text = end != NULL ? end + 2 : text + strlen(text);
    } else {
      return text;
    }
  }
}

static bool begins_with(const char* text, const char* sign) {
  for (; *sign != '\0'; ++sign) {
    if (*sign != ' ') {
      if (lower(*text) != *sign) return false;
      ++text;
      continue;
    }
    const char* next = skip_blank(text);
    if (next == text) return false;
    text = next;
  }
  return true;
}

// "://user:password@"
static bool is_uri_with_password(const char* text) {
  if (strncmp(text, "://", 3) != 0) return false;
  const char* user = text + 3;
  const size_t authority = strcspn(user, "/?#'\" \t\r\n");
  const char* at = memchr(user, '@', authority);
  return at != NULL && memchr(user, ':', (size_t)(at - user)) != NULL;
}

const char* hg_find_secret(const char* text) {
  if (text == NULL) return NULL;
  bool first[256] = {false};
  for (size_t i = 0; i < sizeof kSigns / sizeof *kSigns; ++i)
    first[(unsigned char)kSigns[i][0]] = true;
  for (; *text != '\0'; ++text) {
    if (*text == ':' && is_uri_with_password(text)) return text;
    if (!first[(unsigned char)lower(*text)]) continue;
    for (size_t i = 0; i < sizeof kSigns / sizeof *kSigns; ++i)
      if (begins_with(text, kSigns[i])) return text;
  }
  return NULL;
}
