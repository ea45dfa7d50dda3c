#include "proxy/conversation/statements.h"

#include <fmt/format.h>

#include <strings.h>

namespace halogen::proxy {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}
bool in_name(char c) { return starts_name(c) || (c >= '0' && c <= '9') || c == '$'; }

size_t skip_space(std::string_view sql, size_t at) {
  while (at < sql.size() && is_space(sql[at])) at++;
  return at;
}

size_t word_end(std::string_view sql, size_t at) {
  while (at < sql.size() && in_name(sql[at])) at++;
  return at;
}

bool is_word(std::string_view sql, size_t begin, size_t end, std::string_view word) {
  return end - begin == word.size() &&
         ::strncasecmp(sql.data() + begin, word.data(), word.size()) == 0;
}

// A name, quoted or not; the position behind it, or npos.
size_t parse_name(std::string_view sql, size_t at, std::string& name) {
  if (at >= sql.size()) return std::string_view::npos;
  if (sql[at] != '"') {
    if (!starts_name(sql[at])) return std::string_view::npos;
    size_t end = word_end(sql, at);
    for (size_t i = at; i < end; i++)
      name.push_back(sql[i] >= 'A' && sql[i] <= 'Z' ? static_cast<char>(sql[i] | 0x20) : sql[i]);
    return end;
  }
  for (size_t i = at + 1; i < sql.size(); i++) {
    if (sql[i] != '"') {
      name.push_back(sql[i]);
    } else if (i + 1 < sql.size() && sql[i + 1] == '"') {
      name.push_back(sql[i++]);
    } else {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::string StatementText::server_name() const { return fmt::format("halogen.{}", id); }

TextPtr StatementTexts::find_or_add(std::string_view parse) {
  MutexLock lock(mutex_);
  if (auto found = texts_.find(parse); found != texts_.end())
    if (TextPtr text = found->second.lock()) return text;
  auto owned = new StatementText{next_id_++, std::string(parse)};
  TextPtr text(owned, [this](const StatementText* gone) {
    remove(gone);
    delete gone;
  });
  texts_.erase(parse);  // One whose last owner is about to call remove().
  texts_.emplace(owned->parse, text);
  return text;
}

void StatementTexts::remove(const StatementText* text) {
  MutexLock lock(mutex_);
  auto found = texts_.find(text->parse);
  if (found != texts_.end() && found->first.data() == text->parse.data()) texts_.erase(found);
}

Description* ServerStatements::find(const TextPtr& text) {
  auto found = entries_.find(text->id);
  if (found == entries_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &found->second->description;
}

void ServerStatements::put(const TextPtr& text, Description description) {
  if (Description* known = find(text)) {
    *known = description;
    return;
  }
  order_.push_front({text, description});
  entries_[text->id] = order_.begin();
}

void ServerStatements::remove(const TextPtr& text) {
  auto found = entries_.find(text->id);
  if (found == entries_.end()) return;
  order_.erase(found->second);
  entries_.erase(found);
}

void ServerStatements::clear() {
  order_.clear();
  entries_.clear();
}

TextPtr ServerStatements::take_surplus() {
  if (entries_.size() <= kMost) return nullptr;
  TextPtr oldest = order_.back().text;
  remove(oldest);
  return oldest;
}

bool parse_named_statement(std::string_view sql, NamedStatementSql& out) {
  size_t at = skip_space(sql, 0);
  if (at >= sql.size()) return false;
  char first = static_cast<char>(sql[at] | 0x20);
  if (first != 'd' && first != 'e') return false;
  size_t end = word_end(sql, at);
  out.deallocates = is_word(sql, at, end, "deallocate");
  if (!out.deallocates && !is_word(sql, at, end, "execute")) return false;
  at = skip_space(sql, end);
  end = word_end(sql, at);
  if (out.deallocates && is_word(sql, at, end, "prepare")) {
    at = skip_space(sql, end);
    end = word_end(sql, at);
  }
  if (out.deallocates && is_word(sql, at, end, "all")) return false;
  out.name.clear();
  out.name_begin = at;
  out.name_end = parse_name(sql, at, out.name);
  if (out.name_end == std::string_view::npos) return false;
  if (!out.deallocates) return true;
  at = skip_space(sql, out.name_end);
  if (at < sql.size() && sql[at] == ';') at = skip_space(sql, at + 1);
  return at == sql.size();
}

}  // namespace halogen::proxy
