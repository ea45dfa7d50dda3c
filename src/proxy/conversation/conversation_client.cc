// What the client says, and what becomes of it on its way to the server.
#include "base/error.h"
#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

constexpr size_t kHeader = 5;
constexpr size_t kPiecesFrom = 32 * 1024;  // Larger messages are passed on as they come.
constexpr size_t kMaxRenamedSql = 512;     // SQL that is looked at for names of statements.
// A statement that no server has: names of ours begin with "halogen." and a number.
constexpr std::string_view kNoStatement = "halogen.none";

using Kind = Expected::Kind;
using Job = Expected::Job;

void put_body(std::string& out, char type, std::initializer_list<std::string_view> parts) {
  size_t size = 4;
  for (std::string_view part : parts) size += part.size();
  uint32_t length = byteswap(static_cast<uint32_t>(size));
  out.push_back(type);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  for (std::string_view part : parts) out.append(part);
}

constexpr std::string_view kZero{"\0", 1};

[[noreturn]] void malformed(char type) {
  throw Error(Errc::corrupt, "invalid message format: type '{}'", type);
}

// The zero-terminated text at `at`; npos as its end while the terminator is not there.
std::string_view text_at(std::string_view body, size_t at) {
  size_t end = body.find('\0', at);
  return end == std::string_view::npos ? std::string_view{} : body.substr(at, end - at);
}

}  // namespace

std::optional<Conversation::ClientMessage> Conversation::next_message(std::string_view bytes) {
  if (bytes.size() < kHeader) return std::nullopt;
  uint32_t length = byteswap(load<uint32_t>(bytes.data() + 1));
  if (length < 4 || length > wire::kMaxMessageSize)
    throw Error(Errc::corrupt, "invalid message length");
  size_t size = size_t{length} + 1;
  return ClientMessage{bytes[0], bytes.substr(0, size), size};
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
    if (!message) break;
    if (message->type == 'X') break;
    Step step = take(*message, to_server);
    if (step != Step::done) break;
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

Expected& Conversation::expect(Kind kind, Job job, TextPtr text) {
  Expected one;
  one.kind = kind;
  one.job = job;
  one.text = std::move(text);
  in_exchange_ |= !one.hidden();
  return expected_.push(std::move(one));
}

Conversation::Step Conversation::take(const ClientMessage& message, std::string& to_server) {
  if (message_refusal_) {
    if (!skipping_) raise(std::move(*message_refusal_), to_server);
    message_refusal_.reset();
    drop(message);
    return Step::done;
  }
  if (skipping_ && message.type != 'S') {
    drop(message);
    return Step::done;
  }
  switch (message.type) {
    case 'Q':
      return take_query(message, to_server);
    case 'P':
      return message.complete() ? take_parse(message, to_server) : Step::incomplete;
    case 'B':
      return take_bind(message, to_server);
    case 'D':
      return message.complete() ? take_describe(message, to_server) : Step::incomplete;
    case 'C':
      return message.complete() ? take_close(message, to_server) : Step::incomplete;
    case 'E':
      counts_.queries++;
      unname(expect(Kind::execute), std::exchange(unnamed_drops_, {}));
      break;
    case 'S':
      take_sync(message, to_server);
      return Step::done;
    case 'F':
      expect(Kind::function);
      break;
    case 'c':
    case 'f':
      if (in_exchange_) expect(Kind::copy_end);
      copy_in_ = false;
      break;
    case 'd':
    case 'H':
      break;
    default:
      throw Error(Errc::corrupt, "invalid frontend message type {}",
                  static_cast<int>(static_cast<uint8_t>(message.type)));
  }
  pass(message, to_server);
  return Step::done;
}

void Conversation::take_sync(const ClientMessage& message, std::string& to_server) {
  // Postgres takes no notice of a Sync among the data of a COPY.
  if (!copy_in_) expect(Kind::sync);
  skipping_ = false;
  pass(message, to_server);
}

Conversation::Step Conversation::take_query(const ClientMessage& message, std::string& to_server) {
  Renamed renamed;
  if (may_name(message)) {
    if (!message.complete()) return Step::incomplete;
    Ensured there = rename_in_sql(text_at(message.body(), 0), 'S', renamed, to_server);
    if (there == Ensured::wait) return Step::wait;
    if (there == Ensured::failed) {
      wire::put_message(to_server, 'S');
      end_unnamed(expect(Kind::sync));
      return Step::done;
    }
  }
  counts_.queries++;
  Expected& asked = expect(Kind::query);
  end_unnamed(asked);
  unname(asked, renamed.dropped);
  if (renamed.sql.empty())
    pass(message, to_server);
  else
    wire::put_query(to_server, renamed.sql);
  return Step::done;
}

// Postgres has one unnamed statement, and a simple query is it for a moment.
void Conversation::end_unnamed(Expected& by) {
  by.ends_unnamed = true;
  by.unnamed_before = std::exchange(unnamed_, nullptr);
  unnamed_drops_.clear();
  server_->unnamed.reset();
}

void Conversation::unname(Expected& by, const std::string& name) {
  auto found = names_.find(name);
  if (found == names_.end()) return;
  server_->statements.remove(found->second.text);
  by.job = Job::unname;
  by.name = name;
  by.before = std::make_unique<ClientStatement>(std::move(found->second));
  names_.erase(found);
}

// The client has said something that waits for its Sync.
bool Conversation::amid_pipeline() {
  for (auto one = expected_.end(); one != expected_.begin();)
    if ((--one)->kind != Kind::copy_end) return in_exchange_ && !one->ends_in_ready();
  return in_exchange_;
}

// Its SQL may be about one of the client's statements: it has some, or what took the last one away
// may yet be undone.
bool Conversation::may_name(const ClientMessage& message) const {
  return message.size < kMaxRenamedSql && !(names_.empty() && expected_.empty());
}

// DEALLOCATE and EXECUTE know the statements of the protocol too, by the client's names.
Conversation::Ensured Conversation::rename_in_sql(std::string_view sql, char end, Renamed& renamed,
                                                  std::string& to_server) {
  NamedStatementSql named;
  if (!parse_named_statement(sql, named)) return Ensured::there;
  if (must_settle(named.name)) return Ensured::wait;
  auto found = names_.find(named.name);
  if (found == names_.end()) return Ensured::there;
  ClientStatement& statement = found->second;
  if (named.deallocates) renamed.dropped = named.name;
  Description* known = server_->statements.find(statement.text);
  bool there = known != nullptr && *known != kNotDescribed;  // Else its Parse may yet be skipped.
  bool refreshed = refreshed_ == statement.text->id;
  // A Sync of ours would end what the client has not ended yet.
  if (!there && !refreshed && end == 'S' && amid_pipeline()) return Ensured::there;
  if (!named.deallocates) {
    if (Ensured outcome = ensure(statement, end, to_server); outcome != Ensured::there)
      return outcome;
  } else if (refreshed_ = 0; !there) {
    // If it cannot be prepared any more, the server says that there is none.
    if (refreshed) return Ensured::there;
    refresh(statement.text, end, to_server);
    return Ensured::wait;
  }
  renamed.sql.append(sql.substr(0, named.name_begin));
  renamed.sql.append("\"" + statement.text->server_name() + "\"");
  renamed.sql.append(sql.substr(named.name_end));
  return Ensured::there;
}

Conversation::Step Conversation::take_parse(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  std::string_view name = text_at(body, 0);
  if (name.size() + 1 >= body.size() || body.find('\0', name.size() + 1) == std::string_view::npos)
    malformed('P');
  std::string_view parse = body.substr(name.size() + 1);
  if (name.empty()) {
    Renamed renamed;
    Ensured there = may_name(message) ? rename_in_sql(text_at(parse, 0), 'H', renamed, to_server)
                                      : Ensured::there;
    if (there != Ensured::there) {  // Whatever comes of it, the one before is gone.
      unnamed_.reset();
      return there == Ensured::wait ? Step::wait : Step::done;
    }
    if (!renamed.sql.empty()) {
      renamed.sql.append(parse.substr(parse.find('\0')));
      parse = renamed.sql;
    }
    TextPtr text = texts_.find_or_add(parse);
    put_body(to_server, 'P', {kZero, parse});
    end_unnamed(expect(Kind::parse, Job::name, text));
    unnamed_ = server_->unnamed = text;
    unnamed_drops_ = std::move(renamed.dropped);
    return Step::done;
  }
  if (must_settle(name)) return Step::wait;
  if (names_.contains(std::string(name))) {
    wire::ErrorFields why;
    why.sqlstate = "42P05";
    why.message = "prepared statement \"" + std::string(name) + "\" already exists";
    raise(why, to_server);
    return Step::done;
  }
  TextPtr text = texts_.find_or_add(parse);
  prepare(text, Job::name, to_server);
  expected_.back().name = name;
  describe(text, Job::learn, to_server);
  expected_.back().name = name;
  names_[std::string(name)] = {text, kNotDescribed};
  return Step::done;
}

void Conversation::close_statement(const TextPtr& text, std::string& to_server) {
  put_body(to_server, 'C', {"S", text->server_name(), kZero});
  expect(Kind::close, Job::forget, text);
}

// Under our name, in place of what may be there by that name.
void Conversation::prepare(const TextPtr& text, Job job, std::string& to_server) {
  server_->statements.put(text, kNotDescribed);
  if (TextPtr surplus = server_->statements.take_surplus()) close_statement(surplus, to_server);
  close_statement(text, to_server);
  put_body(to_server, 'P', {text->server_name(), kZero, text->parse});
  expect(Kind::parse, job, text);
}

void Conversation::describe(const TextPtr& text, Job job, std::string& to_server) {
  put_body(to_server, 'D', {"S", text->server_name(), kZero});
  expect(Kind::describe, job, text);
}

void Conversation::parse_unnamed(const TextPtr& text, Job job, std::string& to_server) {
  put_body(to_server, 'P', {kZero, text->parse});
  expect(Kind::parse, job, text);
  server_->unnamed = text;
}

// What a name stands for depends on a request that has been sent, but not answered.
bool Conversation::must_settle(std::string_view name) {
  bool ended = false;
  for (auto one = expected_.end(); one != expected_.begin();) {
    --one;
    ended |= one->ends_in_ready();
    // A simple query ends the unnamed statement whether it fails or not.
    bool named = one->job == Job::name || one->job == Job::unname ||
                 (one->ends_unnamed && one->kind != Kind::query);
    if (!named || one->name != name) continue;
    settling_ = ended;
    break;
  }
  return settling_;
}

void Conversation::ensure_unnamed(std::string& to_server) {
  if (unnamed_ && server_->unnamed == unnamed_) return;
  if (unnamed_) {
    parse_unnamed(unnamed_, Job::prepare, to_server);
    expected_.back().ends_unnamed = true;  // And makes it anew.
    expected_.back().unnamed_before = unnamed_;
    return;
  }
  // Another client's may be there.
  put_body(to_server, 'C', {"S", kZero});
  expect(Kind::close, Job::forget);
  server_->unnamed.reset();
}

Conversation::Ensured Conversation::ensure(ClientStatement& statement, char end,
                                           std::string& to_server) {
  bool refreshed = std::exchange(refreshed_, 0) == statement.text->id;
  Description* there = server_->statements.find(statement.text);
  // It was parsed, but not looked at: an error came between.
  if (there != nullptr && refreshed && statement.description == kNotDescribed)
    statement.description = *there;
  if (there != nullptr && *there == statement.description) return Ensured::there;
  if (there == nullptr && refreshed && refresh_failure_) {
    raise(std::move(*refresh_failure_), to_server);
    return Ensured::failed;
  }
  if (there != nullptr && refreshed) {
    wire::ErrorFields why;
    why.sqlstate = "0A000";
    why.message = "cached plan must not change result type";
    raise(why, to_server);
    return Ensured::failed;
  }
  refresh(statement.text, end, to_server);
  return Ensured::wait;
}

// Prepares a statement (again) and looks at it, while the client's message waits for the outcome.
// In between messages of the extended protocol it is asked for with Flush; else with Sync, so that
// a failure stays our own.
void Conversation::refresh(const TextPtr& text, char end, std::string& to_server) {
  prepare(text, Job::prepare, to_server);
  describe(text, Job::verify, to_server);
  wire::put_message(to_server, end);
  if (end == 'S') expect(Kind::sync, Job::verify);
  waiting_ = true;
  in_exchange_ = true;
}

// Makes the server fail here, so that it skips what follows and its transaction fails, as they
// must.
void Conversation::raise(wire::ErrorFields why, std::string& to_server) {
  put_body(to_server, 'B', {kZero, kNoStatement, kZero, std::string_view("\0\0\0\0\0\0", 6)});
  expect(Kind::bind, Job::raise).replacement = std::make_unique<wire::ErrorFields>(std::move(why));
}

Conversation::Step Conversation::take_bind(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  size_t portal_end = body.find('\0');
  size_t name_end =
      portal_end == std::string_view::npos ? portal_end : body.find('\0', portal_end + 1);
  if (name_end == std::string_view::npos) {
    if (message.complete()) malformed('B');
    return Step::incomplete;
  }
  std::string_view name = body.substr(portal_end + 1, name_end - portal_end - 1);
  std::string_view server_name = name;
  std::string ours;
  if (must_settle(name)) return Step::wait;
  if (name.empty()) {
    ensure_unnamed(to_server);
  } else if (auto found = names_.find(std::string(name)); found != names_.end()) {
    Ensured there = ensure(found->second, 'H', to_server);
    if (there == Ensured::wait) return Step::wait;
    if (there == Ensured::failed) {
      drop(message);
      return Step::done;
    }
    ours = found->second.text->server_name();
    server_name = ours;
  }
  expect(Kind::bind);
  if (server_name == name) {
    pass(message, to_server);
    return Step::done;
  }
  uint32_t length = static_cast<uint32_t>(message.size - 1 - name.size() + server_name.size());
  to_server.push_back('B');
  length = byteswap(length);
  to_server.append(reinterpret_cast<const char*>(&length), sizeof length);
  to_server.append(body.substr(0, portal_end + 1)).append(server_name);
  to_server.append(body.substr(name_end));
  client_body_ = message.size - message.bytes.size();
  client_body_dropped_ = false;
  return Step::done;
}

Conversation::Step Conversation::take_describe(const ClientMessage& message,
                                               std::string& to_server) {
  std::string_view body = message.body();
  if (body.size() < 2 || body.back() != '\0') malformed('D');
  std::string name(text_at(body, 1));
  if (body[0] == 'S' && must_settle(name)) return Step::wait;
  auto found = body[0] == 'S' && !name.empty() ? names_.find(name) : names_.end();
  if (found != names_.end()) {
    Ensured there = ensure(found->second, 'H', to_server);
    if (there == Ensured::wait) return Step::wait;
    if (there == Ensured::failed) return Step::done;
    describe(found->second.text, Job::none, to_server);
    return Step::done;
  }
  if (body[0] == 'S' && name.empty()) ensure_unnamed(to_server);
  expect(Kind::describe);
  pass(message, to_server);
  return Step::done;
}

// The server closes nothing that has a name of ours: others use it. What it is asked to close by
// the client's name does not exist there, which is no error.
Conversation::Step Conversation::take_close(const ClientMessage& message, std::string& to_server) {
  std::string_view body = message.body();
  if (body.size() < 2 || body.back() != '\0') malformed('C');
  if (body[0] == 'S' && must_settle(text_at(body, 1))) return Step::wait;
  Expected& asked = expect(Kind::close);
  if (body[0] == 'S') {
    asked.name = text_at(body, 1);
    if (asked.name.empty()) {
      end_unnamed(asked);
    } else if (auto found = names_.find(asked.name); found != names_.end()) {
      asked.job = Job::unname;
      asked.before = std::make_unique<ClientStatement>(std::move(found->second));
      names_.erase(found);
    }
  }
  pass(message, to_server);
  return Step::done;
}

// Parse, Describe and Close are looked at as a whole, of Bind the names at its beginning.
bool Conversation::ClientMessage::streams() const {
  if (bytes.size() < kPiecesFrom || type == 'P' || type == 'D' || type == 'C') return false;
  if (type != 'B') return true;
  size_t portal_end = body().find('\0');
  return portal_end != std::string_view::npos && body().find('\0', portal_end + 1) != body().npos;
}

bool Conversation::worth_a_server(std::string_view bytes) {
  std::optional<ClientMessage> message = next_message(bytes);
  return message && (message->complete() || message->streams());
}

size_t Conversation::size_to_hold(std::string_view bytes) {
  std::optional<ClientMessage> message = next_message(bytes);
  bool some = message && message->bytes.size() >= kPiecesFrom;
  return some && !message->complete() && !message->streams() ? message->size : 0;
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
    case 'd':  // Data of a COPY that has ended.
    case 'c':
    case 'f':
      return true;
    case 'X':
      return false;
    default:
      break;
  }
  if (!refusal_) return false;
  bool ends = message.type == 'Q' || message.type == 'S' || message.type == 'F';
  bool tells = !refusal_->told && message.type != 'H';
  if (tells) wire::put_error(to_client, refusal_->why);
  refusal_->told |= tells;
  if (ends) {
    wire::put_ready_for_query(to_client, transaction_lost_ ? 'E' : 'I');
    refusal_.reset();
    in_exchange_ = false;
  }
  return true;
}

}  // namespace halogen::proxy
