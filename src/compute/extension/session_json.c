// session_json.c: JSON in pure ASCII.
#include "session.h"

#include "mb/pg_wchar.h"

static void append_unit(StringInfo out, uint32 unit) { appendStringInfo(out, "\\u%04x", unit); }

static void append_code_point(StringInfo out, uint32 code) {
  if (code < 0x10000) {
    append_unit(out, code);
    return;
  }
  append_unit(out, 0xD800 + ((code - 0x10000) >> 10));
  append_unit(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
}

static bool is_ascii(const char* text, size_t length) {
  for (size_t i = 0; i < length; ++i)
    if (IS_HIGHBIT_SET(text[i])) return false;
  return true;
}

// The same text in UTF-8, always ended by a zero byte.
static const unsigned char* to_utf8(const char* text, size_t length) {
  char* copy = pnstrdup(text, length);
  if (is_ascii(text, length) || GetDatabaseEncoding() == PG_UTF8) return (unsigned char*)copy;
  // Conversions are found in the catalogs. SQL_ASCII has none: its bytes are only checked.
  hg_session_need_transaction();
  return (unsigned char*)pg_server_to_any(copy, length, PG_UTF8);
}

static void append_quoted(StringInfo out, const char* text, size_t length) {
  const unsigned char* s = to_utf8(text, length);
  appendStringInfoChar(out, '"');
  while (*s != '\0') {
    const int size = pg_utf_mblen(s);
    if (size > 1 && (strnlen((const char*)s, size) < size || !pg_utf8_islegal(s, size)))
      ereport(ERROR, errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
              errmsg("session state is not valid text"));
    if (size > 1 || *s < 0x20 || *s == 0x7F)
      append_code_point(out, utf8_to_unicode(s));
    else if (*s == '"' || *s == '\\')
      appendStringInfo(out, "\\%c", *s);
    else
      appendStringInfoChar(out, (char)*s);
    s += size;
  }
  appendStringInfoChar(out, '"');
}

static void append_separator(StringInfo out) {
  const char last = out->len > 0 ? out->data[out->len - 1] : '{';
  if (last != '{' && last != '[' && last != ':') appendStringInfoChar(out, ',');
}

void hg_json_key(StringInfo out, const char* key) {
  append_separator(out);
  append_quoted(out, key, strlen(key));
  appendStringInfoChar(out, ':');
}

void hg_json_item(StringInfo out, const char* text, size_t length) {
  append_separator(out);
  append_quoted(out, text, length);
}

void hg_json_names(StringInfo out, const char* key, const List* names) {
  if (names == NIL) return;
  hg_json_key(out, key);
  appendStringInfoChar(out, '[');
  ListCell* cell;
  foreach (cell, names) hg_json_item(out, lfirst(cell), strlen(lfirst(cell)));
  appendStringInfoChar(out, ']');
}
