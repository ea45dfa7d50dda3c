#include "control/password_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

// In `meta`, while the database's files may still hold what has been replaced.
constexpr const char* kRewrite = "rewrite_files";

std::string place_of(const std::string& branch_id, const std::string& role) {
  return std::string("passwords") + '\0' + branch_id + '\0' + role;
}

// In the place of a role's name, that of an operation begins with this.
constexpr char kPlanned = '\1';

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

constexpr const char* kIfLost =
    "Nothing has been changed. If the key is lost for good, start once with: halogen up "
    "--forget-unreadable-passwords; the roles keep their passwords, but connection strings no "
    "longer show them";

}  // namespace

KeyRing PasswordStore::open_keys(Database& db, const fs::path& key_file, bool clear_text,
                                 bool forget_unreadable) {
  std::error_code ignored;
  if (fs::exists(key_file, ignored)) return KeyRing::read(key_file);
  Statement row = db.query("SELECT count(*) FROM passwords");
  int64_t encrypted = row.step() && !clear_text ? row.integer(0) : 0;
  if (encrypted > 0 && !forget_unreadable)
    throw Error(Errc::not_found,
                "the key file {} is missing, and {} passwords in the catalog are encrypted with "
                "it. Put it back from its copy, at mode 0600, and start again. {}",
                key_file.string(), encrypted, kIfLost);
  return KeyRing::create(key_file);
}

PasswordStore::PasswordStore(Database& db, const fs::path& key_file, bool clear_text,
                             bool forget_unreadable)
    : db_(db), key_file_(key_file), keys_(open_keys(db, key_file, clear_text, forget_unreadable)) {
  if (clear_text) {
    encrypt_all(true);
  } else {
    check_readable(forget_unreadable);
    use_newest_key();
  }
}

std::vector<PasswordStore::Row> PasswordStore::rows() {
  Statement found = db_.query("SELECT branch_id, role, password FROM passwords");
  std::vector<Row> rows;
  while (found.step()) rows.push_back({found.text(0), found.text(1), found.text(2)});
  return rows;
}

void PasswordStore::check_readable(bool forget_unreadable) {
  std::vector<Row> unreadable;
  std::set<std::string> needed;
  for (const Row& row : rows()) {
    try {
      keys_.decrypt(row.value, place_of(row.branch_id, row.role));
    } catch (const Error&) {
      unreadable.push_back(row);
      needed.emplace(KeyRing::key_of(row.value));
    }
  }
  if (unreadable.empty()) return;
  std::vector<std::string> ids = keys_.ids();
  if (!forget_unreadable)
    throw Error(Errc::conflict,
                "{} passwords in the catalog cannot be read with {}: they are encrypted with the "
                "key {}, and the file holds {}, or they were tampered with. Put back the key file "
                "that belongs to this catalog, and start again. {}",
                unreadable.size(), key_file_.string(), joined(needed),
                joined({ids.begin(), ids.end()}), kIfLost);
  Transaction transaction(db_);
  for (const Row& row : unreadable)
    db_.run("DELETE FROM passwords WHERE branch_id = ? AND role = ?", row.branch_id, row.role);
  transaction.commit();
  logger.warn("forgot {} passwords that could not be read, as asked for", unreadable.size());
}

void PasswordStore::insert(const std::string& branch_id, const std::string& role,
                           const std::string& password, int64_t given_at) {
  db_.run("INSERT INTO passwords (branch_id, role, password, given_at) VALUES (?, ?, ?, ?)",
          branch_id, role, keys_.encrypt(password, place_of(branch_id, role)), given_at);
}

void PasswordStore::remove(const std::string& branch_id, const std::string& role) {
  db_.run("DELETE FROM passwords WHERE branch_id = ? AND role = ?", branch_id, role);
}

std::vector<std::pair<std::string, std::string>> PasswordStore::of_branch(
    const std::string& branch_id) {
  Statement found =
      db_.query("SELECT role, password FROM passwords WHERE branch_id = ?", branch_id);
  std::vector<std::pair<std::string, std::string>> passwords;
  while (found.step())
    if (!found.text(0).starts_with(kPlanned))
      passwords.emplace_back(found.text(0),
                             keys_.decrypt(found.text(1), place_of(branch_id, found.text(0))));
  return passwords;
}

void PasswordStore::insert_planned(const std::string& branch_id, const std::string& operation_id,
                                   const std::string& password) {
  insert(branch_id, kPlanned + operation_id, password, 0);
}

std::optional<std::string> PasswordStore::planned(const std::string& branch_id,
                                                  const std::string& operation_id) {
  const std::string name = kPlanned + operation_id;
  Statement found =
      db_.query("SELECT password FROM passwords WHERE branch_id = ? AND role = ?", branch_id, name);
  if (!found.step()) return std::nullopt;
  return keys_.decrypt(found.text(0), place_of(branch_id, name));
}

void PasswordStore::remove_planned(const std::string& branch_id, const std::string& operation_id) {
  remove(branch_id, kPlanned + operation_id);
}

void PasswordStore::encrypt_all(bool from_clear_text) {
  for (const Row& row : rows()) {
    std::string place = place_of(row.branch_id, row.role);
    std::string text = from_clear_text ? row.value : keys_.decrypt(row.value, place);
    db_.run("UPDATE passwords SET password = ? WHERE branch_id = ? AND role = ?",
            keys_.encrypt(text, place), row.branch_id, row.role);
  }
  db_.run("INSERT OR REPLACE INTO meta VALUES (?, '')", kRewrite);
}

void PasswordStore::use_newest_key() {
  std::vector<KeyUse> uses = keys();
  if (std::ranges::none_of(uses,
                           [](const KeyUse& key) { return !key.newest && key.passwords > 0; }))
    return;
  Transaction transaction(db_);
  encrypt_all(false);
  transaction.commit();
}

void PasswordStore::rewrite_files() {
  {
    Statement due = db_.query("SELECT 1 FROM meta WHERE key = ?", kRewrite);
    if (!due.step()) return;
  }
  db_.rewrite();
  db_.run("DELETE FROM meta WHERE key = ?", kRewrite);
}

std::vector<KeyUse> PasswordStore::keys() {
  std::map<std::string, int64_t> uses;
  for (const Row& row : rows()) ++uses[std::string(KeyRing::key_of(row.value))];
  std::vector<KeyUse> keys;
  for (const std::string& id : keys_.ids()) keys.push_back({id, id == keys_.newest(), uses[id]});
  return keys;
}

void PasswordStore::rotate() {
  keys_.add_key();
  use_newest_key();
  rewrite_files();
  logger.info("the catalog's passwords are encrypted with the new key {}", keys_.newest());
}

size_t PasswordStore::drop_older_keys() {
  use_newest_key();
  rewrite_files();
  size_t older = keys_.ids().size() - 1;
  keys_.drop_older_keys();
  logger.info("removed {} older keys of the catalog's passwords", older);
  return older;
}

}  // namespace halogen::control
