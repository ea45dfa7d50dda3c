// password_store.h: the passwords in the catalog, encrypted with the keys of a file.
//
// Each is bound to its row (branch, role). No clear text is left in what the database's files once
// held: what is deleted is overwritten, and after clear text or an older key has been replaced, the
// files are rewritten; a crash in between leaves a mark, and the next start does it again.
//
// Not thread-safe: the catalog's mutex guards it.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "control/key_ring.h"
#include "control/sqlite.h"

namespace halogen::control {

struct KeyUse {
  std::string id;
  bool newest = false;
  int64_t passwords = 0;  // How many it encrypts.
};

class PasswordStore {
 public:
  // Reads the key file; makes one if there is none and nothing that one is needed for. Passwords
  // that an older key encrypts are encrypted anew: a crash interrupted rotate().
  // `clear_text`: those in the table are in clear, and are encrypted in the caller's transaction.
  // Throws not_found if the file is missing, or conflict if it holds other keys than were used,
  // saying what to do; nothing is changed then. With `forget_unreadable`, passwords that cannot be
  // read are removed instead.
  PasswordStore(Database& db, const fs::path& key_file, bool clear_text, bool forget_unreadable);

  // Rewrites the database's files if that is due. Not within a transaction.
  void rewrite_files();

  // Within the caller's transaction.
  void insert(const std::string& branch_id, const std::string& role, const std::string& password,
              int64_t given_at);
  void remove(const std::string& branch_id, const std::string& role);
  std::vector<std::pair<std::string, std::string>> of_branch(const std::string& branch_id);
  // Of an operation that has yet to give it to a role. Not among those of the branch.
  void insert_planned(const std::string& branch_id, const std::string& operation_id,
                      const std::string& password);
  std::optional<std::string> planned(const std::string& branch_id, const std::string& operation_id);
  void remove_planned(const std::string& branch_id, const std::string& operation_id);

  // Encrypts all with a new key. Older ones stay in the file, for older copies of the catalog.
  void rotate();
  // Removes all keys but the newest from the file; returns how many. Copies of the catalog that
  // need them are of no use afterwards without a copy of the file.
  size_t drop_older_keys();
  std::vector<KeyUse> keys();

 private:
  struct Row {
    std::string branch_id;
    std::string role;
    std::string value;
  };
  static KeyRing open_keys(Database& db, const fs::path& key_file, bool clear_text,
                           bool forget_unreadable);
  std::vector<Row> rows();
  void check_readable(bool forget_unreadable);
  // Writes every row anew, as the newest key encrypts it, within the caller's transaction.
  void encrypt_all(bool from_clear_text);
  // Has every row encrypted with the newest key.
  void use_newest_key();

  Database& db_;
  const fs::path key_file_;
  KeyRing keys_;
};

}  // namespace halogen::control
