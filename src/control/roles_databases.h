// roles_databases.h: a branch's roles and databases by API.
//
// What there is is Postgres' to say, whoever made it, by SQL or by us: a running compute is asked;
// of one at rest the catalog's copy counts, if it is exact; else the compute is woken. Changes are
// SQL, for which it is woken. What belongs to the platform is neither shown nor touched.
//
// Threads: any. Calls block, for a wake at worst.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/catalog.h"
#include "control/project_turns.h"
#include "control/suspend.h"

namespace halogen::control {

struct RoleChange {
  StoredRole role;
  std::optional<std::string> password;  // If it has a new one.
  Operation operation;
};

struct DatabaseChange {
  DatabaseRecord database;
  Operation operation;
};

class RolesAndDatabases {
 public:
  RolesAndDatabases(Catalog& catalog, EndpointManager& endpoints, ComputeHost& host,
                    ProjectTurns& turns)
      : catalog_(catalog), endpoints_(endpoints), host_(host), turns_(turns) {}

  // Those of the branch's users, by name.
  std::vector<StoredRole> roles(const Branch& branch);
  std::vector<DatabaseRecord> databases(const Branch& branch);
  StoredRole role(const Branch& branch, const std::string& name);  // not_found.
  DatabaseRecord database(const Branch& branch, const std::string& name);

  // Of a new branch: the names that its only role and its only database have from now on.
  Operation name_first(const Branch& branch, const std::string& role, const std::string& database);

  // One as neondb_owner is, with a password of ours if it may log in. already_exists.
  RoleChange create_role(const Branch& branch, const std::string& name, bool can_login);
  RoleChange reset_password(const Branch& branch, const std::string& name);
  // What it owns becomes its database's owner's. conflict while it owns a database.
  RoleChange delete_role(const Branch& branch, const std::string& name);

  // not_found without such an owner; already_exists.
  DatabaseChange create_database(const Branch& branch, const std::string& name,
                                 const std::string& owner);
  // Empty: as it is. conflict while somebody uses it and its name is to change.
  DatabaseChange update_database(const Branch& branch, const std::string& name,
                                 const std::string& new_name, const std::string& new_owner);
  // Ends its sessions.
  DatabaseChange delete_database(const Branch& branch, const std::string& name);
  // As the database's owner would, so that it is the owner's. No effect if it is there. Returns the
  // database's name.
  std::string create_extension(const Branch& branch, const std::string& database,
                               const std::string& extension);

 private:
  template <typename T>
  T look(const Branch& branch, const std::function<T(const std::string& endpoint)>& ask,
         const std::function<T()>& kept);
  std::vector<StoredRole> ask_roles(const std::string& endpoint);
  std::vector<DatabaseRecord> noted_databases(const Branch& branch,
                                              const std::vector<StoredDatabase>& now);
  DatabaseRecord noted_database(const Branch& branch, const std::string& name);
  // Runs `work` with the endpoint's id while its compute runs, and takes note of what came of it.
  Operation change(const Branch& branch, const std::function<void(const std::string&)>& work);
  // Of what the role owns, what another may have goes to its database's owner.
  void hand_over(const std::string& endpoint, const std::string& role);
  // So that it can be told again, if the project wants that.
  void keep_password(const Branch& branch, const std::string& role, const std::string& password);
  void require_role(const std::string& endpoint, const std::string& name);

  Catalog& catalog_;
  EndpointManager& endpoints_;
  ComputeHost& host_;
  ProjectTurns& turns_;
};

}  // namespace halogen::control
