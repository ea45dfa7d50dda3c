#include "proxy/conversation/injector.h"

#include "proxy/conversation/session_state.h"

namespace halogen::proxy {
namespace {

using wire::Frontend;

constexpr std::string_view kZero{"\0", 1};
// Our own statements and portals, where the client's unnamed ones must stay.
constexpr std::string_view kOwnName = "halogen.own";

// Fails in a transaction block of its own making, which is then what the client believes it is in.
constexpr std::string_view kFailedTransaction =
    "BEGIN; ROLLBACK TO SAVEPOINT \"halogen: the transaction was lost\"";

}  // namespace

void put_parts(std::string& out, Frontend type, std::initializer_list<std::string_view> parts) {
  size_t size = 4;
  for (std::string_view part : parts) size += part.size();
  uint32_t length = byteswap(static_cast<uint32_t>(size));
  out.push_back(static_cast<char>(type));
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  for (std::string_view part : parts) out.append(part);
}

void Injector::restore(std::string_view startup, std::string_view state, std::string_view listen) {
  std::string sql = restore_statement(server_.passes.next(), startup, state, listen);
  put_parts(out_, Frontend::parse, {kZero, sql, std::string_view("\0\0\0", 3)});
  exchange_.expect(Kind::parse, Job::restore);
  put_parts(out_, Frontend::bind, {std::string_view("\0\0\0\0\0\0\0\0", 8)});
  exchange_.expect(Kind::bind, Job::restore);
  put_parts(out_, Frontend::execute, {std::string_view("\0\0\0\0\0", 5)});
  exchange_.expect(Kind::execute, Job::restore);
  server_.unnamed.reset();
  server_.names.items.clear();
}

void Injector::failed_transaction() {
  wire::put_query(out_, kFailedTransaction);
  exchange_.expect(Kind::query, Job::abort);
  server_.unnamed.reset();
}

void Injector::sync(Job job) {
  wire::put_message(out_, Frontend::sync);
  exchange_.expect(Kind::sync, job);
}

void Injector::flush() { wire::put_message(out_, Frontend::flush); }

// By names of our own, which leaves the client's unnamed statement and portal alone.
void Injector::statement(std::string_view sql, Job job, const TextPtr& text) {
  put_parts(out_, Frontend::parse, {kOwnName, kZero, sql, std::string_view("\0\0\0", 3)});
  exchange_.expect(Kind::parse, job, text).own = true;
  put_parts(out_, Frontend::bind,
            {kOwnName, kZero, kOwnName, kZero, std::string_view("\0\0\0\0\0\0", 6)});
  exchange_.expect(Kind::bind, job, text);
  put_parts(out_, Frontend::execute, {kOwnName, kZero, std::string_view("\0\0\0\0", 4)});
  exchange_.expect(Kind::execute, job, text);
  put_parts(out_, Frontend::close, {"P", kOwnName, kZero});
  exchange_.expect(Kind::close, job, text);
  close(kOwnName);
}

void Injector::names(std::string_view items, bool alone) {
  std::string pass = item(server_.passes.next())->substr(1);
  statement("SET halogen.names TO " + pass + std::string(items), Job::prepare, nullptr);
  if (alone) sync(Job::forget);
}

void Injector::settings_for(const TextPtr& text) {
  std::string pass = item(server_.passes.next())->substr(1);
  statement("SET halogen.parse TO " + pass + text->settings, Job::prepare, text);
}

void Injector::settings_back(const TextPtr& text) {
  statement("SET halogen.parse TO DEFAULT", Job::prepare, text);
}

void Injector::parse(std::string_view name, const TextPtr& text, Job job) {
  put_parts(out_, Frontend::parse, {name, kZero, text->parse});
  exchange_.expect(Kind::parse, job, text);
}

void Injector::describe(std::string_view name, const TextPtr& text, Job job) {
  put_parts(out_, Frontend::describe, {"S", name, kZero});
  exchange_.expect(Kind::describe, job, text);
}

void Injector::close(std::string_view name) {
  put_parts(out_, Frontend::close, {"S", name, kZero});
  exchange_.expect(Kind::close, Job::forget);
}

void Injector::raise(wire::ErrorFields why) {
  put_parts(out_, Frontend::bind,
            {kZero, kNoStatement, kZero, std::string_view("\0\0\0\0\0\0", 6)});
  exchange_.expect(Kind::bind, Job::raise).replacement =
      std::make_unique<wire::ErrorFields>(std::move(why));
}

}  // namespace halogen::proxy
