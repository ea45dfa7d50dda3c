// What a server's answers tell of prepared statements, and what its errors undo.
#include <algorithm>

#include "proxy/conversation/conversation.h"

namespace halogen::proxy {
namespace {

using wire::Backend;

// FNV-1a.
uint64_t hash_more(uint64_t hash, std::string_view bytes) {
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Names, types and modifiers of the columns; not which table they are from.
uint64_t hash_columns(uint64_t hash, std::string_view body) {
  Reader in(body);
  auto count = in.be_get<uint16_t>();
  for (int i = 0; i < count; i++) {
    hash = hash_more(hash_more(hash, in.cstring()), "/");
    in.skip(6);
    hash = hash_more(hash, as_text(in.take(10)));
    in.skip(2);
  }
  return hash;
}

}  // namespace

// By now the settings are known under which it was parsed.
Conversation::Fate Conversation::judge_parsed() {
  if (exchange_.outstanding.empty()) unexpected(Backend::parse_complete);
  const OutstandingRequest& front = exchange_.outstanding.front();
  if (front.job == Job::name && front.text->settings != settings_now()) {
    ClientStatement is{make_text(front.text->parse, settings_now())};
    if (front.name.empty())
      replace_unnamed(front.text, is);
    else
      replace_named(front.name, front.text, is);
  }
  return answered(Kind::parse);
}

void Conversation::forget_statements() {
  server_->statements.clear();
  names_.clear(exchange_.outstanding);
  for (OutstandingRequest& one : exchange_.outstanding)
    if (one.kind == Kind::parse && one.job == Job::name && !one.name.empty())
      server_->statements.put(one.text, one.server_name);
}

// A DEALLOCATE of a statement of the protocol. Where the server knows it by another name, that
// stays.
void Conversation::deallocated(const std::string& name) {
  bool ours = names_.find(name) != nullptr;
  names_.erase(name);
  if (ours) server_->names.items = kUnknownNames;
  if (!ours || !pooled_) server_->statements.remove_named(name);
}

Conversation::Fate Conversation::judge_description(Backend type, std::string_view body) {
  if (exchange_.outstanding.empty()) unexpected(type);
  OutstandingRequest& front = exchange_.outstanding.front();
  if (front.kind == Kind::query) return front.hidden() ? Fate::drop : Fate::pass;
  if (front.kind != Kind::describe) unexpected(type);
  Fate fate = front.hidden() ? Fate::drop : Fate::pass;
  bool learns = front.hidden() || front.job == Job::look;
  if (type == Backend::parameter_description) {
    if (learns) types_ = body;
    return fate;
  }
  if (learns) {
    uint64_t hash = 0xcbf29ce484222325;
    if (type == Backend::row_description) hash = hash_columns(hash, body);
    described(front, std::max<uint64_t>(hash, kNotDescribed + 1));
  }
  exchange_.outstanding.pop();
  return fate;
}

// What Postgres has found out of a statement: the types of its parameters, and its rows.
void Conversation::described(OutstandingRequest& by, Description description) {
  if (by.job == Job::verify) {
    if (auto* there = server_->statements.find(by.text)) there->description = description;
    if (!verified_) verified_ = std::make_unique<std::map<uint64_t, Verified>>();
    (*verified_)[by.text->id].description = description;
    return;
  }
  StatementText found = *by.text;
  found.parse.resize(found.parse.find('\0') + 1);
  found.parse += types_;
  if (by.job == Job::look) {
    if (found.parse != by.text->parse || names_.unnamed.description != description)
      replace_unnamed(by.text, {make_text(found.parse, found.settings), description});
    return;
  }
  found.settings = settings_now();
  bool shared = pooled_ && !found.names_statements;
  TextPtr same = shared ? texts_.find_or_add(startup_, found)
                        : make_text(std::move(found.parse), std::move(found.settings));
  replace_named(by.name, by.text, {same, description});
}

void Conversation::replace_named(const std::string& name, const TextPtr& was,
                                 const ClientStatement& is) {
  const TextPtr kept = was;  // It may be a part of what is replaced.
  server_->statements.know(kept, is.text, is.description);
  auto note = [&](ClientStatement& statement) {
    if (statement.text == kept) statement = is;
  };
  if (ClientStatement* named = names_.find(name)) note(*named);
  for (OutstandingRequest& later : exchange_.outstanding) {
    if (later.before && later.name == name) note(*later.before);  // That may yet be undone.
    if (later.text == kept) later.text = is.text;
  }
}

void Conversation::replace_unnamed(const TextPtr& was, const ClientStatement& is) {
  const TextPtr kept = was;  // It may be a part of what is replaced.
  if (names_.unnamed.text == kept) names_.unnamed = is;
  if (server_->unnamed == kept) server_->unnamed = is.text;
  for (OutstandingRequest& later : exchange_.outstanding) {
    if (later.unnamed_before.text == kept) later.unnamed_before = is;
    if (later.text == kept) later.text = is.text;
  }
}

void Conversation::undo(OutstandingRequest& one) {
  if (one.own && !one.text) server_->names.items = kUnknownNames;
  if (one.kind == Kind::parse && one.text && !one.own) {
    if (server_->unnamed == one.text) server_->unnamed.reset();
    server_->statements.remove(one.text);
  }
  names_.undo(one);
}

// What comes later may stand on what came before it.
void Conversation::undo_before(std::vector<OutstandingRequest>::iterator end) {
  ClientStatement latest = names_.unnamed;
  bool undone = false;
  for (auto one = end; one != exchange_.outstanding.begin();) {
    undone |= (--one)->ends_unnamed;
    undo(*one);
  }
  auto later =
      std::find_if(end, exchange_.outstanding.end(), [](auto& one) { return one.ends_unnamed; });
  if (undone && later != exchange_.outstanding.end())
    later->unnamed_before = std::exchange(names_.unnamed, latest);
}

// Names of statements as the client knows them.
std::string Conversation::in_clients_words(std::string_view error) const {
  std::string text(error);
  for (auto& [name, statement] : names_) {
    const ServerStatements::Entry* there = server_->statements.find(statement.text);
    if (there == nullptr) continue;
    const std::string quoted = "\"" + there->name + "\"";
    for (size_t at = text.find(quoted); at != std::string::npos; at = text.find(quoted, at + 1))
      text.replace(at + 1, there->name.size(), name);
  }
  return text;
}

}  // namespace halogen::proxy
