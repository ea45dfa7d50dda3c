// fake_session.h: what a Postgres session holds and what its SQL does, as far as tests of the proxy
// want it. See fake_postgres.h.
//
// A statement is its words, apart by one space; several are apart by "; ". They are
//   SELECT x | SELECT $1    one row with x or the parameter     ROWS n      n rows
//   TABLE t                 a row of as many columns as t has   ALTER t n   n columns from now on
//   SHOW s | SET s v | RESET s                                  LISTEN c | UNLISTEN *
//   BEGIN | COMMIT | ROLLBACK | ROLLBACK TO ...                 LOCK k | UNLOCK k
//   PREPARE n AS ... | EXECUTE n | DEALLOCATE n | DEALLOCATE ALL | DISCARD ALL
//   NEXTVAL | CURRVAL | NOTICE x | FAIL | DIE | COPYIN | COPYNO | COPYOUT | SET halogen.session TO
//   ... LITERAL                 a row with the TimeZone that it was parsed under
// COPYNO fails before it reads anything.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "postgres/wire.h"
#include "protocol/session_state.h"
#include "proxy/conversation/outstanding.h"

namespace halogen::proxy::testing {

struct FakeError {
  std::string sqlstate;
  std::string message;
};

// What all sessions see.
struct FakeCluster {
  std::map<std::string, int> columns;  // Of tables.
};

using Words = std::vector<std::string>;

inline Words words_of(const std::string& sql) {
  std::istringstream in(sql);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

inline std::vector<std::string> statements_of(std::string sql) {
  std::vector<std::string> all;
  while (!sql.empty()) {
    size_t end = sql.find("; ");
    all.push_back(sql.substr(0, end));
    sql = end == std::string::npos ? "" : sql.substr(end + 2);
  }
  return all;
}

inline std::string unquoted(std::string name) {
  return name.starts_with('"') ? name.substr(1, name.size() - 2) : name;
}

// Items of SET halogen.session: E'...', or none for DEFAULT.
inline std::vector<std::string> items_of(const std::string& sql) {
  std::vector<std::string> items;
  for (size_t at = sql.find("E'"); at < sql.size(); at = sql.find("E'", at)) {
    std::string item;
    for (at += 2; sql.at(at) != '\'' || (at + 1 < sql.size() && sql[at + 1] == '\''); at++) {
      if (sql[at] == '\'' || sql[at] == '\\') at++;
      item.push_back(sql[at]);
    }
    at++;
    items.push_back(item);
  }
  return items;
}

class FakeSession {
 public:
  using Settings = std::map<std::string, std::string>;
  struct Prepared {
    std::string sql;
    int columns = -1;  // When it was parsed; -1 if it gives no rows.
    bool from_sql = false;
    std::string literal{};  // TimeZone, as it was parsed.
    Settings settings{};    // Of a statement by SQL: those that count.
  };

  explicit FakeSession(FakeCluster& cluster, Settings startup = {})
      : cluster_(cluster), opened_(std::move(startup)), startup_(opened_) {}

  char status() const { return status_; }
  std::map<std::string, Prepared>& prepared() { return prepared_; }
  bool listens(const std::string& channel) const {
    return std::ranges::find(held_.listen, channel) != held_.listen.end();
  }
  std::string setting(const std::string& name) const {
    if (auto found = held_.settings.find(name); found != held_.settings.end()) return found->second;
    auto found = startup_.find(name);
    return found == startup_.end() ? "default" : found->second;
  }

  // What has changed in this transaction, of the settings that count when SQL is parsed.
  Settings parse_changes() const {
    Settings changes;
    if (!implicit_) return changes;
    auto value = [](const Settings& all) {
      auto found = all.find("TimeZone");
      return found == all.end() ? std::nullopt : std::optional(found->second);
    };
    if (value(held_.settings) != value(saved_.settings)) changes["TimeZone"] = setting("TimeZone");
    return changes;
  }
  void parse_under(std::optional<Settings> settings) { under_ = std::move(settings); }
  // By which names of its client's SQL finds statements of the protocol.
  struct Named {
    std::string server_name;
    std::string error;
  };
  std::map<std::string, Named>& names() { return names_; }
  std::string take_deallocated() { return std::exchange(deallocated_, {}); }

  // ---- Transactions ----

  // Before a statement, or a message of the extended protocol.
  void start_command() {
    if (status_ == 'I' && !std::exchange(implicit_, true)) saved_ = held_;
  }
  // True if a transaction has ended.
  bool end_command() { return status_ == 'I' && std::exchange(implicit_, false); }
  void fail() {
    if (status_ == 'T') status_ = 'E';
    if (status_ == 'I' && std::exchange(implicit_, false)) held_ = saved_;
  }

  // ---- Statements ----

  Prepared parse(const std::string& sql) {
    Words words = words_of(sql);
    require_transaction(words);
    if (!words.empty() && words[0] == "BAD") throw FakeError{"42601", "syntax error"};
    std::string zone = setting("TimeZone");
    if (under_) {
      Settings all = startup_;
      for (auto& [name, value] : *under_) all[name] = value;
      zone = all.contains("TimeZone") ? all["TimeZone"] : "default";
    }
    return {sql, columns_of(words), false, zone};
  }
  // The statement that SQL means by this name.
  std::map<std::string, Prepared>::const_iterator find_named(const std::string& name) const {
    auto named = names_.find(name);
    if (named != names_.end() && !named->second.error.empty())
      throw FakeError{named->second.error.substr(0, 5), named->second.error.substr(5)};
    auto found = prepared_.find(named == names_.end() ? name : named->second.server_name);
    if (found == prepared_.end()) throw missing(name);
    return found;
  }
  void require_transaction(const Words& words) const {
    bool ends = !words.empty() && (words[0] == "ROLLBACK" || words[0] == "COMMIT");
    if (status_ == 'E' && !ends)
      throw FakeError{"25P02",
                      "current transaction is aborted, commands ignored until end of transaction "
                      "block"};
  }
  // As Postgres does whenever it is used.
  void revalidate(const Prepared& statement) const {
    Words words = words_of(statement.sql);
    require_transaction(words);
    if (columns_of(words) != statement.columns)
      throw FakeError{"0A000", "cached plan must not change result type"};
  }
  static std::vector<wire::Column> description(const Prepared& statement) {
    std::vector<wire::Column> columns;
    for (int i = 0; i < statement.columns; i++) columns.push_back({"c" + std::to_string(i)});
    return columns;
  }

  struct Result {
    std::vector<wire::Row> rows;
    std::string tag;
    std::string notice;
  };
  Result run(const Prepared& statement, const std::vector<std::string>& values) {
    const std::string& sql = statement.sql;
    const Words words = words_of(sql);
    require_transaction(words);
    const std::string& verb = words.at(0);
    if (verb == "LITERAL") return one_row({statement.literal});
    std::string rest = words.size() > 1 ? words[1] : "";
    if (verb == "SELECT") return one_row({rest == "$1" ? values.at(0) : rest});
    if (verb == "SHOW") return one_row({setting(rest)});
    if (verb == "TABLE") return one_row(wire::Row(size_t(columns_of(words)), "t"));
    if (verb == "ROWS") {
      std::vector<wire::Row> rows;
      for (int i = 0; i < std::stoi(rest); i++) rows.push_back({std::to_string(i)});
      return {rows, "SELECT " + rest, ""};
    }
    if (verb == "NEXTVAL") sequence_used_ = true;
    if (verb == "NEXTVAL" || (verb == "CURRVAL" && sequence_used_)) return one_row({"1"});
    if (verb == "CURRVAL") throw FakeError{"55000", "currval is not yet defined"};
    if (verb == "FAIL") throw FakeError{"22012", "division by zero"};
    if (verb == "NOTICE") return {{}, verb, rest};
    if (!transaction_verb(words) && !statement_verb(words, sql)) change(words);
    if (verb == "COMMIT" && failed_) return {{}, "ROLLBACK", ""};
    return {{}, rest == "ALL" ? verb + " ALL" : verb, ""};
  }

  // SET halogen.session: as protocol/session_state.h says.
  void restore(const std::vector<std::string>& items) {
    if (status_ != 'I') throw FakeError{"25001", "cannot run inside a transaction block"};
    Settings startup = opened_;
    held_ = {};
    locks_.clear();
    sequence_used_ = false;
    std::erase_if(prepared_, [](auto& one) { return one.second.from_sql; });
    names_.clear();
    Settings under;
    for (size_t i = 1; i < items.size();) {
      const std::string& what = items[i++];
      if (what == "startup" || what == "setting") {
        (what == "startup" ? startup : held_.settings)[items.at(i)] = items.at(i + 1);
        i += 2;
      } else if (what == "listen") {
        held_.listen.push_back(items.at(i++));
      } else if (what == "under") {
        under[items.at(i)] = items.at(i + 1);
        i += 2;
      } else if (what == "prepare") {
        under_ = std::exchange(under, {});
        Settings settings = *under_;
        startup_ = startup;
        statement_verb(words_of(items.at(i)), items.at(i));
        prepared_.at(words_of(items.at(i)).at(1)).settings = settings;
        under_.reset();
        i++;
      } else {
        throw FakeError{"42601", "no such operation"};
      }
    }
    startup_ = startup;
    implicit_ = false;
  }

  std::string report() const {
    nlohmann::json report = nlohmann::json::object();
    if (!held_.settings.empty()) report["settings"] = held_.settings;
    if (!held_.listen.empty()) report["listen"] = held_.listen;
    for (auto& [name, one] : prepared_)
      if (one.from_sql)
        report["prepared"].push_back({{"name", name},
                                      {"statement", "PREPARE " + name + " AS " + one.sql},
                                      {"from_sql", true},
                                      {"settings", one.settings}});
    if (deallocations_ > 0) report["deallocations"] = deallocations_;
    if (sequence_used_) report["sequence_used"] = true;
    if (!locks_.empty()) report["pins"] = {"advisory_lock"};
    return report.dump();
  }

 private:
  struct Held {
    Settings settings;
    std::vector<std::string> listen;
  };

  static Result one_row(wire::Row row) { return {{std::move(row)}, "SELECT 1", ""}; }

  int columns_of(const Words& words) const {
    if (words.empty()) return -1;
    if (words[0] == "TABLE") {
      auto found = cluster_.columns.find(words.at(1));
      if (found == cluster_.columns.end())
        throw FakeError{"42P01", "relation \"" + words[1] + "\" does not exist"};
      return found->second;
    }
    if (words[0] == "EXECUTE") {
      return find_named(unquoted(words.at(1)))->second.columns;
    }
    for (const char* verb : {"SELECT", "SHOW", "ROWS", "NEXTVAL", "CURRVAL", "LITERAL"})
      if (words[0] == verb) return 1;
    return -1;
  }

  static FakeError missing(const std::string& name) {
    return {"26000", "prepared statement \"" + name + "\" does not exist"};
  }

  bool transaction_verb(const Words& words) {
    failed_ = status_ == 'E';
    if (words[0] == "BEGIN") {
      if (status_ == 'I' && !std::exchange(implicit_, true)) saved_ = held_;
      status_ = 'T';
      return true;
    }
    if (words[0] != "COMMIT" && words[0] != "ROLLBACK") return false;
    if (words.size() > 1) throw FakeError{"3B001", "savepoint does not exist"};
    if (status_ == 'E' || words[0] == "ROLLBACK") held_ = saved_;
    status_ = 'I';
    return true;
  }

  bool statement_verb(const Words& words, const std::string& sql) {
    if (words[0] == "PREPARE") {
      Prepared one = parse(sql.substr(sql.find(" AS ") + 4));
      one.from_sql = true;
      if (held_.settings.contains("TimeZone"))
        one.settings["TimeZone"] = held_.settings["TimeZone"];
      if (names_.contains(words.at(1)) || !prepared_.emplace(words.at(1), one).second)
        throw FakeError{"42P05", "prepared statement \"" + words[1] + "\" already exists"};
      return true;
    }
    bool discard = words[0] == "DISCARD";
    if (words[0] != "DEALLOCATE" && !discard) return false;
    if (words.at(1) == "ALL") {
      prepared_.clear();
      names_.clear();
      deallocations_++;
      if (!discard) return true;
      held_ = {};
      locks_.clear();
      sequence_used_ = false;
    } else if (auto named = names_.find(unquoted(words[1])); named != names_.end()) {
      deallocated_ = named->first;
      names_.erase(named);
    } else if (auto found = prepared_.find(unquoted(words[1])); found != prepared_.end()) {
      if (!found->second.from_sql) deallocated_ = found->first;
      prepared_.erase(found);
    } else {
      throw missing(unquoted(words[1]));
    }
    return true;
  }

  void change(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "SET") held_.settings[words.at(1)] = words.at(2);
    if (verb == "RESET") held_.settings.erase(words.at(1));
    if (verb == "LISTEN" && !listens(words.at(1))) held_.listen.push_back(words[1]);
    if (verb == "UNLISTEN") held_.listen.clear();
    if (verb == "LOCK") locks_.insert(words.at(1));
    if (verb == "UNLOCK") locks_.erase(words.at(1));
    if (verb == "ALTER") cluster_.columns[words.at(1)] = std::stoi(words.at(2));
  }

  FakeCluster& cluster_;
  const Settings opened_;  // What its own startup packet set.
  Settings startup_;       // And what a restore gave as if it had.
  Held held_;
  Held saved_;  // At the beginning of the transaction.
  std::set<std::string> locks_;
  bool sequence_used_ = false;
  std::map<std::string, Prepared> prepared_;
  std::map<std::string, Named> names_;
  std::string deallocated_;  // Not told yet.
  std::optional<Settings> under_;
  uint64_t deallocations_ = 0;
  char status_ = 'I';
  bool implicit_ = false;  // In a transaction that nobody has begun.
  bool failed_ = false;
};

}  // namespace halogen::proxy::testing
