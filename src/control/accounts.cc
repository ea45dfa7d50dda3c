#include "control/accounts.h"

#include "base/error.h"
#include "control/names.h"

namespace halogen::control {
namespace {

constexpr Micros kNoteEvery = 60'000'000;

constexpr const char* kKeyColumns =
    "id, name, kind, user_id, org_id, project_id, created_at, last_used_at, last_used_from";

ApiKey read_key(const Statement& row) {
  ApiKey key;
  key.id = row.integer(0);
  key.name = row.text(1);
  key.kind = parse_key_kind(row.text(2));
  key.user_id = row.text(3);
  key.org_id = row.text(4);
  key.project_id = row.text(5);
  key.created_at = row.integer(6);
  key.last_used_at = row.optional_integer(7);
  key.last_used_from = row.text(8);
  return key;
}

std::vector<ApiKey> read_keys(Statement rows) {
  std::vector<ApiKey> keys;
  while (rows.step()) keys.push_back(read_key(rows));
  return keys;
}

User read_user(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.integer(3)};
}

Organization read_organization(const Statement& row) {
  return {row.text(0), row.text(1), row.integer(2), row.integer(3)};
}

}  // namespace

Accounts::Accounts(const std::filesystem::path& catalog_file) : db_(catalog_file) {}

User Accounts::user(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row = db_.query("SELECT id, name, email, created_at FROM users WHERE id = ?", id);
  if (!row.step()) throw Error(Errc::not_found, "user not found");
  return read_user(row);
}

User Accounts::operator_user() {
  MutexLock lock(mutex_);
  Statement row =
      db_.query("SELECT id, name, email, created_at FROM users ORDER BY created_at, id LIMIT 1");
  if (!row.step()) throw Error(Errc::not_found, "user not found");
  return read_user(row);
}

Organization Accounts::organization(const std::string& id) {
  MutexLock lock(mutex_);
  Statement row =
      db_.query("SELECT id, name, created_at, updated_at FROM organizations WHERE id = ?", id);
  if (!row.step()) throw Error(Errc::not_found, "organization not found");
  return read_organization(row);
}

std::vector<Organization> Accounts::organizations() {
  MutexLock lock(mutex_);
  Statement rows = db_.query(
      "SELECT id, name, created_at, updated_at FROM organizations ORDER BY created_at, id");
  std::vector<Organization> found;
  while (rows.step()) found.push_back(read_organization(rows));
  return found;
}

std::optional<Principal> Accounts::principal_of(const std::string& secret) {
  return principal_of_hash(sha256_hex(secret));
}

std::optional<Principal> Accounts::principal_of_hash(const std::string& hash) {
  MutexLock lock(mutex_);
  Statement row = db_.query(
      "SELECT k.kind, k.id, k.user_id, k.org_id, k.project_id, m.org_id, m.role, k.user_id = "
      "(SELECT id FROM users ORDER BY created_at, id LIMIT 1) FROM api_keys k LEFT JOIN members m "
      "ON m.user_id = k.user_id WHERE hash = ?",
      hash);
  if (!row.step()) return std::nullopt;
  Principal found{parse_key_kind(row.text(0)), row.integer(1), row.text(2), row.text(3),
                  row.text(4)};
  const bool is_operators = row.integer(7) != 0;
  if (found.kind != KeyKind::personal || is_operators) return found;
  if (row.is_null(5)) return std::nullopt;  // Of somebody who is no member any more.
  found.kind = KeyKind::member;
  found.org_id = row.text(5);
  found.role = parse_member_role(row.text(6));
  return found;
}

void Accounts::note_use(int64_t key_id, const std::string& address) {
  const Micros now = now_micros();
  MutexLock lock(mutex_);
  Micros& noted = noted_[key_id];
  if (now - noted < kNoteEvery) return;
  db_.run("UPDATE api_keys SET last_used_at = ?, last_used_from = ? WHERE id = ?", now, address,
          key_id);
  noted = now;
}

ApiKey Accounts::insert_key(ApiKey key, const std::string& secret) {
  key.created_at = now_micros();
  Statement row = db_.query(
      "INSERT INTO api_keys (name, hash, kind, user_id, org_id, project_id, created_at) "
      "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
      key.name, sha256_hex(secret), key_kind_name(key.kind), key.user_id, key.org_id,
      key.project_id, key.created_at);
  while (row.step()) key.id = row.integer(0);
  return key;
}

ApiKey Accounts::add_key(ApiKey key, const std::string& secret) {
  MutexLock lock(mutex_);
  return insert_key(std::move(key), secret);
}

void Accounts::set_operator_key(const std::string& name, const std::string& secret) {
  const std::string user = operator_user().id;
  MutexLock lock(mutex_);
  Transaction transaction(db_);
  db_.run("DELETE FROM api_keys WHERE name = ? AND user_id = ? AND kind = 'personal'", name, user);
  insert_key({.name = name, .user_id = user}, secret);
  transaction.commit();
}

std::vector<ApiKey> Accounts::personal_keys(const std::string& user_id) {
  MutexLock lock(mutex_);
  return read_keys(db_.query(
      fmt::format("SELECT {} FROM api_keys WHERE user_id = ? AND kind = 'personal' ORDER BY id",
                  kKeyColumns),
      user_id));
}

std::vector<ApiKey> Accounts::organization_keys(const std::string& org_id) {
  MutexLock lock(mutex_);
  return read_keys(db_.query(
      fmt::format("SELECT {} FROM api_keys WHERE org_id = ? ORDER BY id", kKeyColumns), org_id));
}

void Accounts::revoke(int64_t key_id) {
  MutexLock lock(mutex_);
  db_.run("DELETE FROM api_keys WHERE id = ?", key_id);
  if (db_.changes() == 0) throw Error(Errc::not_found, "API key not found");
  noted_.erase(key_id);
}

}  // namespace halogen::control
