// What the client says, and what becomes of it on its way to the server.
#include <algorithm>

#include "base/error.h"
#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

using wire::Frontend;

constexpr size_t kHeader = 5;
constexpr size_t kPiecesFrom = 32 * 1024;  // Larger messages are passed on as they come.

[[noreturn]] void malformed(Frontend type) {
  throw Error(Errc::corrupt, "invalid message format: type '{}'", static_cast<char>(type));
}

// The zero-terminated text at `at`; all that is there while the terminator is not.
std::string_view text_at(std::string_view body, size_t at) {
  return body.substr(at, body.find('\0', at) - at);
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

bool is_data_or_flush(Frontend type) {
  return type == Frontend::copy_data || type == Frontend::copy_done ||
         type == Frontend::copy_fail || type == Frontend::flush;
}

std::string_view sql_of(const StatementText& text) { return text_at(text.parse, 0); }

}  // namespace

std::optional<Conversation::ClientMessage> Conversation::next_message(std::string_view bytes) {
  if (bytes.size() < kHeader) return std::nullopt;
  uint32_t length = byteswap(load<uint32_t>(bytes.data() + 1));
  if (length < 4 || length > wire::kMaxMessageSize)
    throw Error(Errc::corrupt, "invalid message length");
  size_t size = size_t{length} + 1;
  return ClientMessage{Frontend(bytes[0]), bytes.substr(0, size), size};
}

size_t Conversation::from_client(std::string_view bytes, std::string& to_server) {
  size_t used = 0;
  if (client_body_ > 0) {
    used = std::min<uint64_t>(client_body_, bytes.size());
    if (!client_body_dropped_) to_server.append(bytes.substr(0, used));
    client_body_ -= used;
  }
  while (!waiting()) {
    std::optional<ClientMessage> message = next_message(bytes.substr(used));
    if (!message || message->type == Frontend::terminate) break;
    Step step = take(*message, to_server);
    if (step != Step::done) break;
    verified_.reset();
    used += message->bytes.size();
  }
  return used;
}

// Passes on what is there; what is still to come follows without being looked at.
void Conversation::pass(const ClientMessage& message, std::string& to_server) {
  to_server.append(message.bytes);
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = false;
}

void Conversation::drop(const ClientMessage& message) {
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = true;
}

// What comes next breaks the COPY that is under way, or depends on how one has ended. A server that
// has left the COPY meanwhile ignores CopyFail.
bool Conversation::must_settle_copy(Frontend next, std::string& to_server) {
  if (exchange_.phase == Phase::skipping || is_data_or_flush(next)) return false;
  if (exchange_.phase == Phase::copy_in && next != Frontend::sync) {
    put_parts(to_server, Frontend::copy_fail, {kNotInCopy, std::string_view("\0", 1)});
    exchange_.take_data(Kind::copy_end);
    copy_broken_by_ = next;
  } else if (exchange_.in_doubt(next)) {
    exchange_.ask_about_syncs(to_server);
  } else {
    return false;
  }
  return waiting_ = true;
}

Conversation::Step Conversation::take(const ClientMessage& message, std::string& to_server) {
  if (must_settle_copy(message.type, to_server)) return Step::wait;
  if (message_refusal_) {
    if (exchange_.phase != Phase::skipping) inject(to_server).raise(std::move(*message_refusal_));
    message_refusal_.reset();
    drop(message);
    return Step::done;
  }
  if (exchange_.phase == Phase::skipping && message.type != Frontend::sync) {
    drop(message);
    return Step::done;
  }
  switch (message.type) {
    case Frontend::query:
      return take_query(message, to_server);
    case Frontend::parse:
      return message.complete() ? take_parse(message, to_server) : Step::incomplete;
    case Frontend::bind:
      return take_bind(message, to_server);
    case Frontend::describe:
      return message.complete() ? take_describe(message, to_server) : Step::incomplete;
    case Frontend::close:
      return message.complete() ? take_close(message, to_server) : Step::incomplete;
    case Frontend::execute:
      counts_.queries++;
      exchange_.expect(Kind::execute).may_deallocate = sql_names_bound_;
      break;
    case Frontend::sync:
      if (!message.complete()) return Step::incomplete;
      exchange_.take_sync();
      wire::put_message(to_server, Frontend::sync);
      sql_names_bound_ = false;
      return Step::done;
    case Frontend::function_call:
      exchange_.expect(Kind::function);
      break;
    case Frontend::copy_data:
    case Frontend::copy_done:
    case Frontend::copy_fail:
      // Where nothing is owed no COPY can be under way: it has failed meanwhile.
      if (exchange_.outstanding.empty()) {
        drop(message);
        return Step::done;
      }
      exchange_.take_data(message.type == Frontend::copy_data ? Kind::copy_data : Kind::copy_end);
      break;
    case Frontend::flush:
      break;
    default:
      throw Error(Errc::corrupt, "invalid frontend message type {}",
                  static_cast<int>(static_cast<uint8_t>(message.type)));
  }
  pass(message, to_server);
  return Step::done;
}

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

Conversation::Step Conversation::take_query(const ClientMessage& message, std::string& to_server) {
  bool about_names = false;
  if (has_names()) {
    if (message.bytes.size() < needed_of(message)) return Step::incomplete;
    std::string_view sql = text_at(message.body(), 0);
    about_names = names_statements(sql);
    if (about_names && !tell_names(sql, true, to_server)) return Step::wait;
  }
  hurried_ = false;
  counts_.queries++;
  OutstandingRequest& asked = exchange_.expect(Kind::query);
  asked.may_deallocate = about_names;
  end_unnamed(asked);
  pass(message, to_server);
  return Step::done;
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

// ---- Prepared statements ----

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
  std::string_view sql = text_at(parse, 0);
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

// What has been SET since the last report is not known, and none comes amid a pipeline.
bool Conversation::settings_may_differ(const StatementText& text) const {
  bool amid = exchange_.phase != Phase::idle && exchange_.phase != Phase::waits;
  return text.settings != settings_now() || exchange_.transaction_status != 'I' || amid ||
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
  if (by_names && !tell_names(sql_of(*text), false, to_server)) return Ensured::wait;
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
  if (pooled_ && own.text->names_statements && !tell_names(sql_of(*own.text), false, to_server))
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
  std::string_view name = text_at(body, 1);
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
  std::string_view name = text_at(body, 1);
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

// Parse, Describe and Close are looked at as a whole, of Bind the names at its beginning.
bool Conversation::ClientMessage::streams() const {
  bool looked_at = type == Frontend::parse || type == Frontend::describe || type == Frontend::close;
  if (bytes.size() < kPiecesFrom || looked_at) return false;
  if (type != Frontend::bind) return true;
  size_t portal_end = body().find('\0');
  return portal_end != std::string_view::npos && body().find('\0', portal_end + 1) != body().npos;
}

// A query is looked at for names of statements, where it can have any, before any of it is passed
// on.
size_t Conversation::needed_of(const ClientMessage& message) const {
  bool looked_at = message.type == Frontend::query && !hurried_ && has_names();
  if (looked_at) return std::min(message.size, kMostSqlLookedAt);
  return message.streams() ? 0 : message.size;
}

bool Conversation::worth_a_server(std::string_view bytes) const {
  std::optional<ClientMessage> message = next_message(bytes);
  return message && message->bytes.size() >= needed_of(*message);
}

bool Conversation::pass_unseen(std::string_view bytes) {
  std::optional<ClientMessage> message = next_message(bytes);
  return hurried_ = message && message->type == Frontend::query;
}

size_t Conversation::size_to_hold(std::string_view bytes) const {
  std::optional<ClientMessage> message = next_message(bytes);
  if (!message || message->bytes.size() < kPiecesFrom) return 0;
  size_t needed = needed_of(*message);
  return message->bytes.size() < needed ? needed : 0;
}

void Conversation::refuse_message(const wire::ErrorFields& why) {
  if (server_ == nullptr)
    refuse(why);
  else
    message_refusal_ = std::make_unique<wire::ErrorFields>(why);
}

size_t Conversation::answer_client(std::string_view bytes, std::string& to_client) {
  size_t used = std::min<uint64_t>(client_body_, bytes.size());
  client_body_ -= used;
  while (client_body_ == 0) {
    std::optional<ClientMessage> message = next_message(bytes.substr(used));
    if (!message || !answer_one(*message, to_client)) break;
    drop(*message);
    used += message->bytes.size();
  }
  return used;
}

// False if it needs a server.
bool Conversation::answer_one(const ClientMessage& message, std::string& to_client) {
  switch (message.type) {
    case Frontend::copy_data:  // Data of a COPY that has ended.
    case Frontend::copy_done:
    case Frontend::copy_fail:
      return true;
    case Frontend::flush:
      if (!refusal_) return true;  // There is nothing to be flushed.
      break;
    case Frontend::terminate:
      return false;
    default:
      break;
  }
  if (!refusal_) return false;
  bool ends = message.type == Frontend::query || message.type == Frontend::sync ||
              message.type == Frontend::function_call;
  bool tells = !refusal_->told && message.type != Frontend::flush;
  if (tells) wire::put_error(to_client, refusal_->why);
  refusal_->told |= tells;
  if (ends) {
    wire::put_ready_for_query(to_client, transaction_lost_ ? 'E' : 'I');
    refusal_.reset();
    exchange_.phase = Phase::idle;
  }
  return true;
}

}  // namespace halogen::proxy
