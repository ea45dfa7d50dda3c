#include "proxy/conversation/statements.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

namespace halogen::proxy {
namespace {

std::atomic<uint64_t> last_text = 0;

bool starts_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}
bool in_name(char c) { return starts_name(c) || (c >= '0' && c <= '9') || c == '$'; }

bool begins_with_word(std::string_view sql, std::string_view word) {
  return sql.size() >= word.size() && ::strncasecmp(sql.data(), word.data(), word.size()) == 0;
}

std::string lower(std::string_view word) {
  std::string out(word);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return out;
}

// The quoted name whose opening quote is at `at`; moves there to behind its end.
std::string quoted_name(std::string_view sql, size_t& at) {
  std::string name;
  for (at++; at < sql.size(); at++) {
    if (sql[at] == '"') {
      if (at + 1 >= sql.size() || sql[at + 1] != '"') break;
      at++;
    }
    name.push_back(sql[at]);
  }
  at++;
  return name;
}

StatementText text_of(std::string parse, std::string settings) {
  StatementText text;
  text.id = ++last_text;
  text.settings = std::move(settings);
  text.parse = std::move(parse);
  std::string_view sql(text.parse);
  text.names_statements = names_statements(sql.substr(0, sql.find('\0')));
  return text;
}

}  // namespace

TextPtr make_text(std::string parse, std::string settings) {
  return std::make_shared<const StatementText>(text_of(std::move(parse), std::move(settings)));
}

TextPtr StatementTexts::find_or_add(const std::string& startup, const StatementText& like) {
  std::string key;
  key.append(startup).push_back('\0');
  key.append(like.settings).push_back('\0');
  key.append(like.parse);
  MutexLock lock(mutex_);
  auto found = texts_.find(key);
  if (found != texts_.end())
    if (TextPtr text = found->second.lock()) return text;
  auto* owned = new StatementText(like);
  owned->id = ++last_text;
  TextPtr text(owned, [this, key](const StatementText* gone) {
    remove(key);
    delete gone;
  });
  texts_[key] = text;
  return text;
}

// Another one may have taken its place meanwhile. It is not held here: to let go of the last one
// would come back for the mutex.
void StatementTexts::remove(const std::string& key) {
  MutexLock lock(mutex_);
  auto found = texts_.find(key);
  if (found != texts_.end() && found->second.expired()) texts_.erase(found);
}

std::string ServerStatements::new_name() {
  return fmt::format("{}{}", kServerNamePrefix, ++last_name_);
}

ServerStatements::Entry* ServerStatements::find(const TextPtr& text) {
  auto found = entries_.find(text->id);
  if (found == entries_.end()) return nullptr;
  order_.splice(order_.begin(), order_, found->second);
  return &*found->second;
}

ServerStatements::Entry& ServerStatements::add(Entry entry) {
  order_.push_front(std::move(entry));
  entries_[order_.front().text->id] = order_.begin();
  return order_.front();
}

ServerStatements::Entry& ServerStatements::put(const TextPtr& text, std::string name) {
  if (Entry* known = find(text)) {
    if (known->name != name) surplus_.push_back(std::exchange(known->name, std::move(name)));
    known->description = kNotDescribed;
    return *known;
  }
  return add({text, std::move(name)});
}

void ServerStatements::know(const TextPtr& made, const TextPtr& same, Description description) {
  Entry* entry = find(made);
  if (entry == nullptr) return;
  if (made == same) {
    entry->description = description;
    return;
  }
  Entry known = std::move(*entry);
  remove(made);
  if (Entry* older = find(same)) {
    if (older->description == description) {
      surplus_.push_back(known.name);
      return;
    }
    surplus_.push_back(older->name);
    remove(same);
  }
  known.text = same;
  known.description = description;
  add(std::move(known));
}

void ServerStatements::remove(const TextPtr& text) {
  auto found = entries_.find(text->id);
  if (found == entries_.end()) return;
  order_.erase(found->second);
  entries_.erase(found);
}

void ServerStatements::remove_named(std::string_view name) {
  auto found = std::ranges::find(order_, name, &Entry::name);
  if (found == order_.end()) return;
  surplus_.push_back(found->name);
  remove(TextPtr(found->text));
}

void ServerStatements::clear() {
  order_.clear();
  entries_.clear();
  surplus_.clear();
}

std::optional<std::string> ServerStatements::take_surplus() {
  std::string name;
  if (!surplus_.empty()) {
    name = std::move(surplus_.back());
    surplus_.pop_back();
    return name;
  }
  if (entries_.size() <= kMost) return std::nullopt;
  name = order_.back().name;
  remove(TextPtr(order_.back().text));
  return name;
}

bool names_statements(std::string_view sql) {
  sql = sql.substr(0, kMostSqlLookedAt);
  for (size_t at = 0; at + 6 < sql.size(); at++) {
    char c = static_cast<char>(sql[at] | 0x20);
    if (c != 'e' && c != 'd' && c != 'p') continue;
    std::string_view rest = sql.substr(at);
    std::string_view word = c == 'e' ? "execute" : c == 'd' ? "deallocate" : "prepare";
    if (begins_with_word(rest, word)) return true;
  }
  return false;
}

std::vector<std::string> names_in_sql(std::string_view sql,
                                      const std::function<bool(const std::string&)>& wanted) {
  sql = sql.substr(0, kMostSqlLookedAt);
  std::set<std::string> names;
  auto found = [&](std::string name) {
    if (wanted(name)) names.insert(std::move(name));
  };
  for (size_t at = 0; at < sql.size();) {
    if (sql[at] == '"') {
      found(quoted_name(sql, at));
    } else if (starts_name(sql[at])) {
      size_t begin = at;
      while (at < sql.size() && in_name(sql[at])) at++;
      found(lower(sql.substr(begin, at - begin)));
    } else {
      at++;
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace halogen::proxy
