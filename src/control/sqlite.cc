#include "control/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace halogen::control {
namespace {

[[noreturn]] void fail(sqlite3* db, std::string_view what) {
  int extended = sqlite3_extended_errcode(db);
  if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
    throw Error(Errc::already_exists, "{}", sqlite3_errmsg(db));
  if (extended == SQLITE_CONSTRAINT_FOREIGNKEY)
    throw Error(Errc::not_found, "catalog: {}: what it belongs to is gone", what);
  throw Error(Errc::io, "catalog: {}: {}", what, sqlite3_errmsg(db));
}

// SQLite would make it readable for all; its journal gets the mode of the file.
std::string made_private(const std::filesystem::path& file) {
  UniqueFd made(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!made.valid() || ::fchmod(made.get(), 0600) != 0) throw system_error(errno, file.string());
  for (const char* journal : {"-wal", "-shm"}) ::chmod((file.string() + journal).c_str(), 0600);
  return file.string();
}

}  // namespace

Statement::Statement(sqlite3* db, std::string_view sql) : db_(db) {
  if (sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr) !=
      SQLITE_OK)
    fail(db, sql);
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}

void Statement::bind(int index, std::string_view value) {
  const char* data = value.data() ? value.data() : "";
  if (sqlite3_bind_text(statement_, index, data, static_cast<int>(value.size()),
                        SQLITE_TRANSIENT) != SQLITE_OK)
    fail(db_, "bind");
}

void Statement::bind(int index, int64_t value) {
  if (sqlite3_bind_int64(statement_, index, value) != SQLITE_OK) fail(db_, "bind");
}

void Statement::bind(int index, double value) {
  if (sqlite3_bind_double(statement_, index, value) != SQLITE_OK) fail(db_, "bind");
}

void Statement::bind(int index, std::nullopt_t) {
  if (sqlite3_bind_null(statement_, index) != SQLITE_OK) fail(db_, "bind");
}

bool Statement::step() {
  int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) fail(db_, "step");
  return false;
}

std::string Statement::text(int column) const {
  auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::optional<std::string> Statement::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

std::optional<int64_t> Statement::optional_integer(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

void Database::Close::operator()(sqlite3* db) const { sqlite3_close(db); }

Database::Handle Database::open(const std::string& file) {
  sqlite3* db = nullptr;
  // One connection used under the catalog's mutex: SQLite needs no mutexes of its own.
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int result = sqlite3_open_v2(file.c_str(), &db, flags, nullptr);
  Handle handle(db);  // There is one though it failed.
  if (result != SQLITE_OK) throw Error(Errc::io, "{}: {}", file, sqlite3_errmsg(db));
  return handle;
}

Database::Database(const std::filesystem::path& file) : db_(open(made_private(file))) {
  sqlite3_extended_result_codes(db_.get(), 1);
  sqlite3_busy_timeout(db_.get(), 5000);
  exec("PRAGMA journal_mode=WAL");
  exec("PRAGMA synchronous=FULL");
  exec("PRAGMA foreign_keys=ON");
  exec("PRAGMA secure_delete=ON");
  exec("PRAGMA temp_store=MEMORY");
  // A killed process may have left its last transaction only in the kernel's memory. What is read
  // is acted upon, so it is made durable first.
  exec("PRAGMA wal_checkpoint(PASSIVE)");
}

void Database::exec(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    fail(db_.get(), sql);
  tell_if_committed();
}

void Database::watch(std::set<std::string> tables, std::function<void(const Changes&)> committed) {
  watched_ = std::move(tables);
  committed_ = std::move(committed);
  auto changed = [](void* self, int, const char*, const char* table, sqlite3_int64 row) {
    static_cast<Database*>(self)->note_change(table, row);
  };
  sqlite3_update_hook(db_.get(), changed, this);
}

void Database::note_change(const char* table, int64_t row) {
  if (watched_.contains(table)) changes_.rows[table].insert(row);
}

void Database::tell_if_committed() {
  if ((changes_.rows.empty() && !changes_.all) || sqlite3_get_autocommit(db_.get()) == 0) return;
  const Changes changes = std::exchange(changes_, {});
  if (committed_) committed_(changes);
}

void Database::rewrite() {
  exec("VACUUM");
  changes_.all = true;
  tell_if_committed();
  Statement checkpoint = query("PRAGMA wal_checkpoint(TRUNCATE)");
  if (!checkpoint.step() || checkpoint.integer(0) != 0)
    throw Error(Errc::io, "catalog: its journal cannot be emptied");
}

std::string Database::image() {
  const Handle copy = open(":memory:");
  sqlite3_backup* backup = sqlite3_backup_init(copy.get(), "main", db_.get(), "main");
  if (backup == nullptr) fail(copy.get(), "backup");
  const int stepped = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (stepped != SQLITE_DONE) throw Error(Errc::unavailable, "the catalog is busy");
  sqlite3_int64 size = 0;
  const std::unique_ptr<unsigned char, decltype(&sqlite3_free)> bytes(
      sqlite3_serialize(copy.get(), "main", &size, 0), &sqlite3_free);
  if (bytes == nullptr) throw Error(Errc::unavailable, "no memory for a copy of the catalog");
  return std::string(reinterpret_cast<const char*>(bytes.get()), static_cast<size_t>(size));
}

int64_t Database::changes() const { return sqlite3_changes(db_.get()); }

Transaction::~Transaction() {
  if (!open_) return;
  try {
    db_.exec("ROLLBACK");
  } catch (const Error&) {
    // SQLite has rolled back by itself after a serious error.
  }
}

void Transaction::commit() {
  db_.exec("COMMIT");
  open_ = false;
}

}  // namespace halogen::control
