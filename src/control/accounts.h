// accounts.h: who may ask for what: users, organizations, API keys. Of a key there is only its
// hash.
//
// In the catalog's database, on a connection of its own, so that nobody waits for the catalog to be
// known. The catalog makes the tables, with one user (the operator) and one organization.
//
// Threads: any; one connection behind one mutex.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "control/catalog.h"
#include "control/principal.h"
#include "control/sqlite.h"

namespace halogen::control {

struct User {
  std::string id;  // A UUID.
  std::string name;
  std::string email;
  Micros created_at = 0;
};

struct Organization {
  std::string id;
  std::string name;
  Micros created_at = 0;
  Micros updated_at = 0;
};

struct ApiKey {
  int64_t id = 0;
  std::string name;
  KeyKind kind = KeyKind::personal;
  std::string user_id;     // Who made it; a personal key is theirs.
  std::string org_id;      // Of an organization's or a project's key.
  std::string project_id;  // Of a project's.
  Micros created_at = 0;
  std::optional<Micros> last_used_at;
  std::string last_used_from;  // An address.
};

class Accounts {
 public:
  // Requires: a Catalog has opened the same file, and is there for as long as this.
  explicit Accounts(const std::filesystem::path& catalog_file);

  User user(const std::string& id);  // not_found; likewise below.
  User operator_user();              // The first there was.
  Organization organization(const std::string& id);
  std::vector<Organization> organizations();  // Oldest first.

  // The key that has this secret: known only by its hash, which tells nothing of the secret.
  std::optional<Principal> principal_of(const std::string& secret);
  std::optional<Principal> principal_of_hash(const std::string& hash);  // sha256_hex() of it.
  // The use of a key, a minute exact.
  void note_use(int64_t key_id, const std::string& address);

  ApiKey add_key(ApiKey key, const std::string& secret);
  // Takes the place of an older personal key of the operator's of that name.
  void set_operator_key(const std::string& name, const std::string& secret);
  // A user's own; an organization's with those of its projects. Oldest first.
  std::vector<ApiKey> personal_keys(const std::string& user_id);
  std::vector<ApiKey> organization_keys(const std::string& org_id);
  // From now on nobody is known by it. not_found.
  void revoke(int64_t key_id);

 private:
  ApiKey insert_key(ApiKey key, const std::string& secret) REQUIRES(mutex_);

  Mutex mutex_;
  Database db_ GUARDED_BY(mutex_);
  std::map<int64_t, Micros> noted_ GUARDED_BY(mutex_);  // When a key's use was last written.
};

}  // namespace halogen::control
