// statements.h: prepared statements of the protocol, shared by clients that prepare the same.
//
// The same is: the same text, the same types of parameters (as Postgres found them, where the
// client left them open) and the same settings at its Parse, by which literals were read. On each
// server connection it has one name, which says nothing about it. What a statement's rows look like
// is kept as a hash, its description: a client whose description differs from the server's has one
// from before the tables changed, and must get the error that Postgres would give.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"

namespace halogen::proxy {

struct StatementText {
  uint64_t id = 0;  // Unique while the proxy runs.
  // Settings of the session as it was parsed, items of a statement to the server.
  std::string settings;
  std::string parse;              // Body of the Parse message behind the statement's name.
  bool names_statements = false;  // Its SQL may be about other statements of its client.
};
using TextPtr = std::shared_ptr<const StatementText>;

// Of one client alone.
TextPtr make_text(std::string parse, std::string settings);

// All texts that clients share. Safe from any thread; outlives what it gave.
class StatementTexts {
 public:
  // `startup`: what the client's startup packet set counts, too.
  TextPtr find_or_add(const std::string& startup, const StatementText& like);

 private:
  void remove(const std::string& key);

  Mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const StatementText>> texts_ GUARDED_BY(mutex_);
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

  struct Entry {
    TextPtr text;
    std::string name;  // On the server.
    Description description = kNotDescribed;
    uint64_t names_version = 0;  // Of the client's names, as its SQL was parsed.
  };

  // A name that was not in use on this connection before.
  std::string new_name();
  // nullptr if it has not got it. Counts as use.
  Entry* find(const TextPtr& text);
  // In place of what it may have had of this text.
  Entry& put(const TextPtr& text, std::string name);
  // `made` has turned out to be `same`. Of two alike the older stays.
  void know(const TextPtr& made, const TextPtr& same, Description description);
  void remove(const TextPtr& text);
  // The same by its name, which is of no use any more.
  void remove_named(std::string_view name);
  void clear();
  // A name that is of no use any more, or of the statement that is longest out of use, if there are
  // too many.
  std::optional<std::string> take_surplus();
  size_t size() const { return entries_.size(); }

 private:
  Entry& add(Entry entry);

  std::list<Entry> order_;  // Newest first.
  std::unordered_map<uint64_t, std::list<Entry>::iterator> entries_;
  std::vector<std::string> surplus_;
  uint64_t last_name_ = 0;
};

// Names of statements of ours on servers begin so.
constexpr std::string_view kServerNamePrefix = "halogen.";
// A statement that no server has: behind the prefix there is a number.
constexpr std::string_view kNoStatement = "halogen.none";

// Whether SQL may be about statements by their names: EXECUTE, DEALLOCATE or PREPARE stands
// somewhere in it. Says yes too often rather than too seldom, but does not look beyond
// kMostSqlLookedAt bytes.
bool names_statements(std::string_view sql);
// What may be names there, of those that are `wanted`: words (in lower case) and quoted names.
std::vector<std::string> names_in_sql(std::string_view sql,
                                      const std::function<bool(const std::string&)>& wanted);
constexpr size_t kMostSqlLookedAt = 1 << 20;

}  // namespace halogen::proxy
