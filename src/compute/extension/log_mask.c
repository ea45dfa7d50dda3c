// log_mask.c: the server's log, without secrets and without control characters.
//
// Postgres prints the statement of every error, whole statements under log_statement and
// log_min_duration_statement, and the statements inside of functions as context. What
// `ALTER ROLE ... PASSWORD` and the like have in them must not get there. The hook that sees every
// line may only drop it; so the line is written from within the hook, from a masked copy, and
// dropped afterwards. What goes to the client is untouched.
#include "log_mask.h"

#include "pg.h"
#include "secret_text.h"

#include "libpq/libpq-be.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

static const char* const kLeftOut = "(left out: it may carry a secret)";

static emit_log_hook_type next_hook;
static MemoryContext copies;  // Of the line that is being written; emptied after each.
static bool writing;          // A masked copy is on its way: let it pass.

// ---- Control characters ----

// A control character that the log would be written with; tabs and line feeds in a message are
// indented by the server, and are none. In UTF-8, U+0080 to U+009F are two bytes.
static bool is_control(const char* at, bool line_feeds_too) {
  const unsigned char c = (unsigned char)*at;
  if (c == '\n' || c == '\t') return line_feeds_too;
  if (c == 0xC2) return (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] <= 0x9F;
  return c < 0x20 || c == 0x7F;
}

// `text` itself, or a copy with each control character as \xNN.
static char* printable(const char* text, bool line_feeds_too) {
  if (text == NULL) return NULL;
  const char* at = text;
  while (*at != '\0' && !is_control(at, line_feeds_too)) ++at;
  if (*at == '\0') return unconstify(char*, text);
  StringInfoData copy;
  initStringInfo(&copy);
  for (at = text; *at != '\0'; ++at) {
    if (is_control(at, line_feeds_too))
      appendStringInfo(&copy, "\\x%02x", (unsigned char)*at);
    else
      appendStringInfoChar(&copy, *at);
  }
  return copy.data;
}

// ---- Secrets ----

// "statement: ALTER ROLE ..." without what follows the statement's name, as log_statement,
// log_min_duration_statement and auto_explain write it.
static char* without_statement(const char* message) {
  const char* start = message;
  if (strncmp(message, "duration: ", 10) == 0) {
    const char* unit = strstr(message, " ms");
    if (unit != NULL) start = unit;
  }
  const char* colon = strstr(start, ": ");
  if (colon == NULL) return pstrdup(kLeftOut);
  return psprintf("%.*s %s", (int)(colon + 1 - message), message, kLeftOut);
}

// `syntax error at or near "s3cret"` without what is quoted.
static char* without_quotation(const char* message) {
  const char* first = strchr(message, '"');
  const char* last = strrchr(message, '"');
  if (first == NULL || first == last) return pstrdup(message);
  return psprintf("%.*s...%s", (int)(first + 1 - message), message, last);
}

// Errors whose message quotes what was written; others quote names of what there is.
static bool quotes_statement(int code) {
  return code == ERRCODE_SYNTAX_ERROR || ERRCODE_TO_CATEGORY(code) == ERRCODE_DATA_EXCEPTION;
}

static void leave_out(char** text) {
  if (hg_find_secret(*text) != NULL) *text = pstrdup(kLeftOut);
}

static void mask_secrets(ErrorData* line) {
  const bool inside =
      hg_find_secret(line->context) != NULL || hg_find_secret(line->internalquery) != NULL;
  const bool secret = inside || hg_find_secret(debug_query_string) != NULL;
  if (secret) {
    line->hide_stmt = true;
    // Any of these may quote a piece of the statement.
    if (quotes_statement(line->sqlerrcode)) line->message = without_quotation(line->message);
    if (line->detail != NULL || line->detail_log != NULL) line->detail_log = pstrdup(kLeftOut);
  }
  if (hg_find_secret(line->context) != NULL) line->hide_ctx = true;
  leave_out(&line->internalquery);
  leave_out(line->detail_log != NULL ? &line->detail_log : &line->detail);
  // Of an error, the message is Postgres' own; a line about a statement has it as its message.
  if (line->elevel < WARNING && line->hide_stmt && hg_find_secret(line->message) != NULL)
    line->message = without_statement(line->message);
}

static void make_printable(ErrorData* line) {
  char** texts[] = {&line->message, &line->detail,  &line->detail_log,
                    &line->hint,    &line->context, &line->internalquery};
  for (size_t i = 0; i < lengthof(texts); ++i) *texts[i] = printable(*texts[i], false);
}

// ---- Writing ----

// The names are in the line's prefix (log_line_prefix), which nothing else escapes.
typedef struct Surroundings {
  const char* statement;
  char* user;
  char* database;
} Surroundings;

static Surroundings swap(Surroundings with) {
  Surroundings before = {debug_query_string, NULL, NULL};
  debug_query_string = with.statement;
  if (MyProcPort != NULL) {
    before.user = MyProcPort->user_name;
    before.database = MyProcPort->database_name;
    MyProcPort->user_name = with.user;
    MyProcPort->database_name = with.database;
  }
  return before;
}

static Surroundings printable_surroundings(void) {
  Surroundings made = {printable(debug_query_string, false), NULL, NULL};
  if (MyProcPort != NULL) {
    made.user = printable(MyProcPort->user_name, true);
    made.database = printable(MyProcPort->database_name, true);
  }
  return made;
}

// `line` is on the top of the error stack, from where EmitErrorReport() takes it.
static void write_masked(ErrorData* line) {
  const ErrorData kept = *line;
  MemoryContext before = MemoryContextSwitchTo(copies);
  mask_secrets(line);
  make_printable(line);
  line->output_to_client = false;
  const Surroundings original = swap(printable_surroundings());
  writing = true;
  PG_TRY();
  {
    EmitErrorReport();
  }
  PG_FINALLY();
  {
    writing = false;
    swap(original);
    MemoryContextSwitchTo(before);
    MemoryContextReset(copies);
    *line = kept;
    line->output_to_server = false;
  }
  PG_END_TRY();
}

static void mask_line(ErrorData* line) {
  if (!writing)
    write_masked(line);
  else if (next_hook != NULL)
    next_hook(line);
}

void hg_log_mask_init(void) {
  const char* out = getenv("HALOGEN_UNSAFE_WITHOUT");  // kWithoutLayers of protocol/isolation.h.
  if (out != NULL && strstr(out, "log_mask") != NULL) return;
  copies = AllocSetContextCreate(TopMemoryContext, "halogen log line", ALLOCSET_SMALL_SIZES);
  next_hook = emit_log_hook;
  emit_log_hook = mask_line;
}
