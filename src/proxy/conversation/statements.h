// statements.h: prepared statements of the protocol, shared by clients that prepare the same text.
//
// Each distinct text (with its parameter types) has one name on every server connection. What a
// statement's parameters and rows look like is kept as a hash, its description: a client whose
// description differs from the server's has one from before the tables changed, and must get the
// error that Postgres would give.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"

namespace halogen::proxy {

struct StatementText {
  uint64_t id = 0;    // Unique while the proxy runs.
  std::string parse;  // Body of the Parse message behind the statement's name.

  std::string server_name() const;
};
using TextPtr = std::shared_ptr<const StatementText>;

// All texts in use. Safe from any thread; outlives what it gave.
class StatementTexts {
 public:
  TextPtr find_or_add(std::string_view parse);

 private:
  void remove(const StatementText* text);

  Mutex mutex_;
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  // Keys point into the texts.
  std::unordered_map<std::string_view, std::weak_ptr<const StatementText>> texts_
      GUARDED_BY(mutex_);
};

using Description = uint64_t;
constexpr Description kNotDescribed = 0;  // Not known yet: the answer is under way.

// As a client's name stands for it.
struct ClientStatement {
  TextPtr text;
  Description description = kNotDescribed;
};

// What a server connection has prepared, in the order of last use.
class ServerStatements {
 public:
  static constexpr size_t kMost = 256;

  // nullptr if it has not got it. Counts as use.
  Description* find(const TextPtr& text);
  void put(const TextPtr& text, Description description);
  void remove(const TextPtr& text);
  void clear();
  // The one longest out of use, if there are too many.
  TextPtr take_surplus();
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    TextPtr text;
    Description description;
  };
  std::list<Entry> order_;  // Newest first.
  std::unordered_map<uint64_t, std::list<Entry>::iterator> entries_;
};

// SQL text that names one prepared statement: `DEALLOCATE [PREPARE] name` or `EXECUTE name ...`.
struct NamedStatementSql {
  bool deallocates = false;
  std::string name;
  size_t name_begin = 0;  // Where in the text the name stands, quotes included.
  size_t name_end = 0;
};
// False for everything else, quickly. Never true for several statements with DEALLOCATE.
bool parse_named_statement(std::string_view sql, NamedStatementSql& out);

}  // namespace halogen::proxy
