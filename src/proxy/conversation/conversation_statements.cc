// A client's prepared statements: what its messages about them become on the server it is given,
// and what is put in where that server lacks them.
#include "base/error.h"
#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

using wire::Frontend;

[[noreturn]] void malformed(Frontend type) {
  throw Error(Errc::corrupt, "invalid message format: type '{}'", static_cast<char>(type));
}

// As PostgreSQL 15 says it.
wire::ErrorFields result_type_changed() {
  wire::ErrorFields why;
  why.sqlstate = "0A000";
  why.message = "cached plan must not change result type";
  why.file = "plancache.c";
  why.line = "718";
  why.routine = "RevalidateCachedQuery";
  return why;
}

wire::ErrorFields name_is_taken(std::string_view name) {
  wire::ErrorFields why;
  why.sqlstate = "42P05";
  why.message = "prepared statement \"" + std::string(name) + "\" already exists";
  why.file = "prepare.c";
  why.line = "413";
  why.routine = "StorePreparedStatement";
  return why;
}

}  // namespace

// ---- SQL that may be about statements by their names ----

// What a request that has been sent, but not answered, may still take away or give back counts.
bool Conversation::has_names() const {
  return !names_.empty() || !exchange_.outstanding.empty() ||
         (server_ != nullptr && !server_->names.items.empty());
}

bool Conversation::may_be_known(std::string_view name) const {
  return names_.find(name) != nullptr ||
         std::ranges::any_of(exchange_.outstanding, [&](auto& one) { return one.name == name; });
}

bool Conversation::tell_names(std::string_view sql, bool simple, std::string& to_server) {
  bool mid_pipeline = exchange_.amid_pipeline();
  std::string items;
  auto known = [this](const std::string& name) { return may_be_known(name); };
  for (const std::string& name : names_in_sql(sql, known)) {
    if (must_settle(name, to_server)) return false;
    ClientStatement* statement = names_.find(name);
    if (statement == nullptr) continue;
    ServerStatements::Entry* there = server_->statements.find(statement->text);
    const Verified* outcome = verified(statement->text);
    // It was parsed, but not looked at: an error came between.
    if (there != nullptr && outcome && statement->description == kNotDescribed)
      statement->description = there->description;
    bool same = there != nullptr && there->description == statement->description;
    if (!same && !outcome) {
      // With Sync, so that a failure stays our own.
      refresh(statement->text, name, mid_pipeline ? Frontend::flush : Frontend::sync, to_server);
      return false;
    }
    if (!pooled_) continue;
    std::optional<std::string> quoted = item(name);
    if (!quoted) continue;
    wire::ErrorFields why;
    if (!same) why = outcome && outcome->failure ? *outcome->failure : result_type_changed();
    items += *quoted + *item(there != nullptr ? there->name : "");
    items += *item(same ? "" : why.sqlstate + why.message);
  }
  // In a failed transaction, or amid what its client has to end, it could not be told.
  bool failed = exchange_.transaction_status == 'E' && exchange_.outstanding.empty();
  bool can = !(simple && mid_pipeline) && !failed;
  if (!pooled_ || !can || items == server_->names.items) return true;
  inject(to_server).names(items, simple);
  server_->names.items = items;
  server_->names.version++;
  return true;
}

// Postgres has one unnamed statement, and a simple query is it for a moment.
void Conversation::end_unnamed(OutstandingRequest& by) {
  by.ends_unnamed = true;
  by.unnamed_before = std::exchange(names_.unnamed, {});
  server_->unnamed.reset();
}

// What a name stands for depends on a request that has been sent, but not answered.
bool Conversation::must_settle(std::string_view name, std::string& to_server) {
  bool ended = false;
  for (auto one = exchange_.outstanding.end(); one != exchange_.outstanding.begin();) {
    --one;
    ended |= one->ends_in_ready();
    bool may_deallocate = one->may_deallocate && !name.empty();
    // A simple query ends the unnamed statement whether it fails or not.
    bool named = one->job == Job::name || one->job == Job::unname ||
                 (one->ends_unnamed && one->kind != Kind::query);
    if (!may_deallocate && !(named && one->name == name)) continue;
    if (!ended && !may_deallocate) return false;
    if (!exchange_.outstanding.back().ends_in_ready()) inject(to_server).flush();
    return waiting_ = true;
  }
  return false;
}

std::string Conversation::server_name_for(std::string_view name) {
  return pooled_ ? server_->statements.new_name() : std::string(name);
}

void Conversation::close_surplus(std::string& to_server) {
  if (!pooled_) return;
  while (std::optional<std::string> name = server_->statements.take_surplus())
    inject(to_server).close(*name);
}

Conversation::Step Conversation::take_parse(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  size_t name_end = body.find('\0');
  if (name_end == std::string_view::npos || body.find('\0', name_end + 1) == std::string_view::npos)
    malformed(message.type);
  std::string_view name = body.substr(0, name_end);
  std::string_view parse = body.substr(name_end + 1);
  std::string_view sql = text_of(parse);
  if (!name.empty() && must_settle(name, to_server)) return Step::wait;
  if (has_names() && names_statements(sql) && !tell_names(sql, false, to_server)) return Step::wait;
  if (!name.empty()) return take_named_parse(name, parse, to_server);
  TextPtr text = make_text(std::string(parse), settings_now());
  inject(to_server).parse("", text, Job::name);
  end_unnamed(exchange_.outstanding.back());
  names_.unnamed = {text};
  server_->unnamed = text;
  return Step::done;
}

Conversation::Step Conversation::take_named_parse(std::string_view name, std::string_view parse,
                                                  std::string& to_server) {
  if (names_.find(name) != nullptr || (pooled_ && state_->has_prepared(name))) {
    inject(to_server).raise(name_is_taken(name));
    return Step::done;
  }
  TextPtr text = make_text(std::string(parse), settings_now());
  std::string server_name = server_name_for(name);
  server_->statements.put(text, server_name).names_version = server_->names.version;
  close_surplus(to_server);
  inject(to_server).parse(server_name, text, Job::name);
  exchange_.outstanding.back().name = name;
  exchange_.outstanding.back().server_name = server_name;
  inject(to_server).describe(server_name, text, Job::learn);
  exchange_.outstanding.back().name = name;
  names_.put(std::string(name), {text});
  return Step::done;
}

const Conversation::Verified* Conversation::verified(const TextPtr& text) const {
  if (!verified_) return nullptr;
  auto found = verified_->find(text->id);
  return found == verified_->end() ? nullptr : &found->second;
}

// What has been SET since the last report is not known, and none comes amid a pipeline. Where
// nothing is under way, no transaction has changed anything: what the server told of the changes of
// one that has ended counts no more.
bool Conversation::settings_may_differ(const StatementText& text) const {
  bool amid = exchange_.phase != Phase::idle && exchange_.phase != Phase::waits;
  return text.settings != state_->parse_settings || exchange_.transaction_status != 'I' || amid ||
         !exchange_.outstanding.empty();
}

// Prepares a statement (again) and looks at it, while the client's message waits for the outcome.
void Conversation::refresh(const TextPtr& text, std::string_view name, Frontend end,
                           std::string& to_server) {
  Injector injector = inject(to_server);
  bool under_settings = settings_may_differ(*text);
  if (under_settings) injector.settings_for(text);
  if (name.empty()) {
    parse_unnamed_again(to_server);
    injector.describe("", text, Job::verify);
  } else {
    std::string server_name = server_name_for(name);
    server_->statements.put(text, server_name).names_version = server_->names.version;
    close_surplus(to_server);
    if (!pooled_) injector.close(server_name);
    injector.parse(server_name, text, Job::prepare);
    injector.describe(server_name, text, Job::verify);
  }
  if (under_settings) injector.settings_back(text);
  if (end == Frontend::sync)
    injector.sync(Job::verify);
  else
    injector.flush();
  waiting_ = true;
  exchange_.client_waits();
}

// In between messages of the extended protocol what is missing is asked for with Flush.
Conversation::Ensured Conversation::ensure_named(ClientStatement& statement, std::string_view name,
                                                 std::string& to_server) {
  const TextPtr& text = statement.text;
  bool by_names = pooled_ && text->names_statements;
  if (by_names && !tell_names(text_of(text->parse), false, to_server)) return Ensured::wait;
  ServerStatements::Entry* there = server_->statements.find(text);
  const Verified* outcome = verified(text);
  // It was parsed, but not looked at: an error came between.
  if (there != nullptr && outcome && statement.description == kNotDescribed)
    statement.description = there->description;
  bool stale = there != nullptr && by_names && there->names_version != server_->names.version;
  if (there != nullptr && there->description == statement.description && !stale)
    return Ensured::there;
  if (outcome) {
    inject(to_server).raise(outcome->failure ? *outcome->failure : result_type_changed());
    return Ensured::failed;
  }
  refresh(text, name, Frontend::flush, to_server);
  return Ensured::wait;
}

void Conversation::parse_unnamed_again(std::string& to_server) {
  inject(to_server).parse("", names_.unnamed.text, Job::prepare);
  exchange_.outstanding.back().ends_unnamed = true;  // And makes it anew.
  exchange_.outstanding.back().unnamed_before = names_.unnamed;
  server_->unnamed = names_.unnamed.text;
}

Conversation::Ensured Conversation::ensure_unnamed(std::string& to_server) {
  const ClientStatement& own = names_.unnamed;
  if (!own.text) {  // Another client's may be there.
    inject(to_server).close("");
    server_->unnamed.reset();
    return Ensured::there;
  }
  const Verified* outcome = verified(own.text);
  bool changed = outcome && !outcome->failure && outcome->description != own.description;
  if (server_->unnamed == own.text && !changed) return Ensured::there;
  if (outcome) {
    inject(to_server).raise(outcome->failure ? *outcome->failure : result_type_changed());
    return Ensured::failed;
  }
  if (pooled_ && own.text->names_statements &&
      !tell_names(text_of(own.text->parse), false, to_server))
    return Ensured::wait;
  if (own.description != kNotDescribed) {
    refresh(own.text, "", Frontend::flush, to_server);
    return Ensured::wait;
  }
  bool under_settings = settings_may_differ(*own.text);
  if (under_settings) inject(to_server).settings_for(own.text);
  parse_unnamed_again(to_server);
  if (under_settings) inject(to_server).settings_back(own.text);
  return Ensured::there;
}

Conversation::Ensured Conversation::ensure(std::string_view name, std::string& to_server) {
  if (must_settle(name, to_server)) return Ensured::wait;
  if (name.empty()) return ensure_unnamed(to_server);
  ClientStatement* statement = names_.find(name);
  return statement == nullptr ? Ensured::there : ensure_named(*statement, name, to_server);
}

Conversation::Step Conversation::take_bind(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  size_t portal_end = body.find('\0');
  size_t name_end =
      portal_end == std::string_view::npos ? portal_end : body.find('\0', portal_end + 1);
  if (name_end == std::string_view::npos) {
    if (message.complete()) malformed(message.type);
    return Step::incomplete;
  }
  std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
  Ensured ensured = ensure(name, to_server);
  if (ensured == Ensured::wait) return Step::wait;
  if (ensured == Ensured::failed) {
    drop(message);
    return Step::done;
  }
  const ClientStatement* statement = name.empty() ? &names_.unnamed : names_.find(name);
  if (statement != nullptr && statement->text)
    sql_names_bound_ |= statement->text->names_statements;
  exchange_.expect(Kind::bind);
  if (is_foreign(name))
    pass_bind(message, name, kNoStatement, to_server);
  else if (name.empty() || statement == nullptr || !pooled_)
    pass(message, to_server);
  else
    pass_bind(message, name, server_->statements.find(statement->text)->name, to_server);
  return Step::done;
}

// A name that the client has not made, but the server may know: of others' statements.
bool Conversation::is_foreign(std::string_view name) const {
  return pooled_ && name.starts_with(kServerNamePrefix) && names_.find(name) == nullptr;
}

// The same with another name of the statement.
void Conversation::pass_bind(const ClientMessage& message, std::string_view name,
                             std::string_view server_name, std::string& to_server) {
  size_t portal_size = message.body().find('\0') + 1;
  uint32_t length = static_cast<uint32_t>(message.size - 1 - name.size() + server_name.size());
  to_server.push_back(static_cast<char>(Frontend::bind));
  length = byteswap(length);
  to_server.append(reinterpret_cast<const char*>(&length), sizeof length);
  to_server.append(message.body().substr(0, portal_size)).append(server_name);
  to_server.append(message.body().substr(portal_size + name.size()));
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = false;
}

Conversation::Step Conversation::take_describe(const ClientMessage& message,
                                               std::string& to_server) {
  std::string_view body = message.body();
  if (body.size() < 2 || body.back() != '\0') malformed(message.type);
  std::string_view name = text_of(body.substr(1));
  if (body[0] == 'S') {
    Ensured ensured = ensure(name, to_server);
    if (ensured == Ensured::wait) return Step::wait;
    if (ensured == Ensured::failed) return Step::done;
    if (const ClientStatement* statement = names_.find(name)) {
      const std::string server_name = server_->statements.find(statement->text)->name;
      inject(to_server).describe(server_name, statement->text, Job::none);
      return Step::done;
    }
  }
  if (body[0] == 'S' && name.empty() && names_.unnamed.text)
    exchange_.expect(Kind::describe, Job::look, names_.unnamed.text);
  else
    exchange_.expect(Kind::describe);
  if (body[0] == 'S' && is_foreign(name))
    put_parts(to_server, Frontend::describe, {"S", kNoStatement, std::string_view("\0", 1)});
  else
    pass(message, to_server);
  return Step::done;
}

// A shared server closes nothing that has a name of ours: others use it. What it is asked to close
// by the client's name does not exist there, which is no error.
Conversation::Step Conversation::take_close(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  if (body.size() < 2 || body.back() != '\0') malformed(message.type);
  std::string_view name = text_of(body.substr(1));
  if (body[0] == 'S' && must_settle(name, to_server)) return Step::wait;
  OutstandingRequest& asked = exchange_.expect(Kind::close);
  if (body[0] == 'S' && name.empty()) {
    end_unnamed(asked);
  } else if (body[0] == 'S') {
    asked.job = Job::unname;
    asked.name = name;
    if (ClientStatement* statement = names_.find(name); statement != nullptr && !pooled_)
      server_->statements.remove(statement->text);
    names_.take_away(name, asked);
  }
  if (body[0] == 'S' && pooled_ && name.starts_with(kServerNamePrefix))
    put_parts(to_server, Frontend::close, {"S", kNoStatement, std::string_view("\0", 1)});
  else
    pass(message, to_server);
  return Step::done;
}

}  // namespace halogen::proxy
