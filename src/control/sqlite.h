// sqlite.h: a thin, owned handle on one SQLite database, and its statements.
//
// Not thread-safe: the catalog's mutex guards it. Every failure is an Error: already_exists for a
// broken UNIQUE constraint, not_found for a row that names another that is not there, io for the
// rest.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace halogen::control {

class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;

  void bind(int index, std::string_view value);
  void bind(int index, int64_t value);
  void bind(int index, double value);
  void bind(int index, std::nullopt_t);
  template <typename T>
  void bind(int index, const std::optional<T>& value) {
    if (value)
      bind(index, *value);
    else
      bind(index, std::nullopt);
  }

  // True while there is a row.
  bool step();
  std::string text(int column) const;
  int64_t integer(int column) const;
  double real(int column) const;
  bool is_null(int column) const;
  std::optional<std::string> optional_text(int column) const;
  std::optional<int64_t> optional_integer(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  // Opens or creates, at mode 0600; WAL journal, every commit fsynced; what is deleted or replaced
  // is overwritten with zeros (secure_delete).
  explicit Database(const std::filesystem::path& file);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Rows that have changed, or may have, by their table and number (rowid).
  struct Changes {
    std::map<std::string, std::set<int64_t>> rows;
    bool all = false;  // They may have got new numbers.
  };
  // Calls `committed` after each commit that changed some of these tables, before the call that
  // committed returns. They must have row numbers.
  void watch(std::set<std::string> tables, std::function<void(const Changes&)> committed);

  // One or more statements without parameters.
  void exec(const std::string& sql);
  // One statement: parameters are std::string_view, int64_t or std::optional of these.
  template <typename... Args>
  Statement query(std::string_view sql, const Args&... args) {
    Statement statement(db_.get(), sql);
    int index = 0;
    (statement.bind(++index, args), ...);
    return statement;
  }
  template <typename... Args>
  void run(std::string_view sql, const Args&... args) {
    {
      Statement statement = query(sql, args...);
      while (statement.step()) {
      }
    }
    tell_if_committed();
  }
  int64_t changes() const;
  // A copy of the database as of now, by SQLite's backup.
  std::string image();
  // Writes the file anew without its free space and empties the journal, so that neither holds
  // anything that is no longer in the database. Not within a transaction, nor during a query.
  void rewrite();

 private:
  void note_change(const char* table, int64_t row);
  void tell_if_committed();

  struct Close {
    void operator()(sqlite3* db) const;
  };
  using Handle = std::unique_ptr<sqlite3, Close>;
  static Handle open(const std::string& file);

  const Handle db_;
  std::set<std::string> watched_;
  std::function<void(const Changes&)> committed_;
  Changes changes_;  // Since the last commit, with those of transactions that were rolled back.
};

// Rolls back unless commit() was called.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(db) { db_.exec("BEGIN IMMEDIATE"); }
  ~Transaction();
  void commit();

 private:
  Database& db_;
  bool open_ = true;
};

}  // namespace halogen::control
