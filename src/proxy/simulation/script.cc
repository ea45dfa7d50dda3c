#include "proxy/simulation/script.h"

#include <fmt/format.h>

#include <algorithm>

namespace halogen::proxy::simulation {
namespace {

using testing::Say;

constexpr size_t kLongest = 30'000;  // Of a value; several times what a socket holds.
constexpr size_t kMostRows = 60;     // Of COPY data.

bool drops_all(std::string_view sql) { return sql.find(" ALL") != std::string_view::npos; }

}  // namespace

Script::Script(Chance& chance, size_t client)
    : chance_(chance), client_(client), texts_{"SELECT $1", "SELECT $1",     "ROWS 3",
                                               "TABLE t",   "SHOW TimeZone", "SHOW work_mem",
                                               "LITERAL"} {}

std::string Script::token() { return fmt::format("c{}x{}y", client_, tokens_++); }

std::string Script::value() { return chance_.one_in(8) ? long_value() : token(); }

std::string Script::long_value() {
  size_t most = chance_.one_in(3) ? kLongest : kLongest / 10;
  return token() + std::string(chance_.below(most), '-') + token();
}

std::string Script::name() { return chance_.of({"n1", "n2", "n3"}); }

// The ROLLBACK is for what a Sync does not end. Nobody knows whether a COPY takes data.
std::string Script::start_over(const std::string& marker) {
  return Say()
      .copy_fail()
      .sync()
      .query("ROLLBACK")
      .query("DISCARD ALL")
      .query("SELECT " + marker)
      .bytes;
}

// Statements of the protocol are known to SQL only where it is a single statement.
std::string Script::statement(bool among_others) {
  std::string prepared = chance_.of({"p1", "p2"});
  std::string any = among_others ? prepared : chance_.of({"n1", "n2", "p1"});
  std::string setting = chance_.of({"TimeZone", "work_mem", "application_name"});
  std::string text = texts_[2 + chance_.below(texts_.size() - 2)];
  return chance_.of({"SELECT " + value(),
                     "SELECT " + value(),
                     "SELECT " + token(),
                     "SHOW " + setting,
                     "SHOW " + setting,
                     "ROWS 3",
                     "ROWS 500",
                     "TABLE t",
                     "SET " + setting + " " + token(),
                     "SET " + setting + " " + token(),
                     "RESET " + setting,
                     "BEGIN",
                     "BEGIN",
                     "COMMIT",
                     "COMMIT",
                     "ROLLBACK",
                     "LOCK k",
                     "UNLOCK k",
                     "UNLOCK k",
                     "FAIL",
                     "BAD",
                     "NOTICE " + token(),
                     "COPYOUT",
                     "DEALLOCATE ALL",
                     "DISCARD ALL",
                     "PREPARE " + prepared + " AS " + text,
                     "EXECUTE " + any,
                     "EXECUTE " + prepared,
                     "DEALLOCATE " + any});
}

Request Script::next() {
  size_t kind = chance_.below(10);
  if (kind < 4) return simple();
  if (kind < 5) return copy_in();
  return extended();
}

Request Script::simple() {
  bool several = chance_.one_in(4);
  std::string sql = statement(several);
  while (several && !chance_.one_in(3)) sql += "; " + statement(true);
  return {.bytes = Say().query(sql).bytes, .alone = drops_all(sql)};
}

// Up to three pipelines, one behind the other.
Request Script::extended() {
  Request request;
  for (size_t more = 1 + chance_.below(3); more > 0; more--) {
    Say say;
    for (size_t n = chance_.below(6); n > 0; n--) extend(say);
    request.bytes += say.sync().bytes;
  }
  return request;
}

void Script::extend(Say& say) {
  std::string text = chance_.of(texts_);
  switch (chance_.below(9)) {
    case 0:
    case 1:
      say.parse(name(), text);
      return;
    case 2:
    case 3:
      say.run(name(), {value()});
      return;
    case 4:
      say.close(name());
      return;
    case 5:
      say.describe(name());
      return;
    case 6:
      say.parse("", text).describe("").run("", {value()});
      return;
    case 7:
      say.bind(name(), {token()}, "p").execute("p", 1).describe_portal("p").flush();
      return;
    default:
      say.once(chance_.of({"BEGIN", "COMMIT", "ROLLBACK", "FAIL", "BAD", "COPYOUT",
                           "SET TimeZone " + token(), "RESET work_mem", "SELECT " + value()}));
      return;
  }
}

// Of one that fails, what is sent on is not answered; some of it is still on its way when the error
// is told, mostly where it was sent in one go.
std::string Script::copy_data(bool fails, bool goes_on) {
  Say say;
  size_t rows = chance_.below(chance_.one_in(2) ? kMostRows : kMostRows / 6);
  size_t bad = fails ? chance_.below(rows + 1) : rows + 1;
  for (size_t i = 0; i <= rows; i++) {
    if (i == bad) say.data("bad");
    say.data(chance_.one_in(4) ? long_value() : token());
  }
  if (goes_on) return say.copy_done().bytes;
  return say.copy_fail().bytes;
}

Request Script::copy_in() {
  bool unread = chance_.one_in(4);
  bool fails = chance_.one_in(2);
  std::string sql = unread ? "COPYNO" : "COPYIN";
  std::string data = copy_data(fails, fails || !chance_.one_in(4));
  bool simple_protocol = chance_.one_in(2);
  Request request;
  if (simple_protocol) {
    request.bytes = Say().query(sql).bytes;
  } else {
    bool sync_ahead = chance_.one_in(2);
    Say say = Say().once(sql);
    request.bytes = sync_ahead ? say.sync().bytes : say.flush().bytes;
    data += Say().sync().bytes;
    if (!sync_ahead) request.instead = Say().sync().bytes;
  }
  bool waits = chance_.one_in(2);
  if (waits)
    request.data = data;
  else
    request.bytes += data;
  request.alone = waits;
  return request;
}

}  // namespace halogen::proxy::simulation
