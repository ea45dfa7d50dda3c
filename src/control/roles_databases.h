// roles_databases.h: a branch's roles and databases by API.
//
// What there is is Postgres' to say, whoever made it, by SQL or by us: a running compute is asked;
// of one at rest the catalog's copy counts, if it is exact; else the compute is woken. Changes are
// SQL, for which it is woken. What belongs to the platform is neither shown nor touched.
//
// A change is an operation: looked at with the compute, then planned in the catalog
// (PlannedChange), then done as SQL, and over with one transaction of the catalog. A crash before
// the plan leaves nothing; after it the change goes on at the next start, by what it finds done.
// One change at a time works on a branch.
//
// Threads: any. Calls that look block, for a wake at worst; changes as Operations::run() does.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/catalog.h"
#include "control/operations.h"
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
                    ProjectTurns& turns, Operations& operations)
      : catalog_(catalog),
        endpoints_(endpoints),
        host_(host),
        turns_(turns),
        operations_(operations) {}

  // At start, before anybody can ask for a change: those that a crash interrupted go on, in the
  // background.
  void go_on();

  // Those of the branch's users, by name.
  std::vector<StoredRole> roles(const Branch& branch);
  std::vector<DatabaseRecord> databases(const Branch& branch);
  StoredRole role(const Branch& branch, const std::string& name);  // not_found.
  DatabaseRecord database(const Branch& branch, const std::string& name);

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
  using Turns = std::vector<std::shared_ptr<ProjectTurns::Hold>>;
  Turns turns_for_change(const Branch& branch);
  // As an operation. `found` gets the role that it is about, before the operation is over.
  Operation change(const Branch& branch, PlannedChange wanted, std::shared_ptr<StoredRole> found);
  // Does it while the compute runs, again if that is lost in between. `planned`: it is in the
  // catalog, and may have been done in part.
  void carry_out(const Operation& operation, const PlannedChange& wanted, bool planned,
                 StoredRole& found);
  // Throws unless it can be done.
  void require_possible(const std::string& endpoint, const PlannedChange& wanted,
                        StoredRole& found);
  // Of what a plan for a database says.
  void require_possible_name(const std::string& endpoint, const std::string& database);
  StoredDatabase require_database(const std::string& endpoint, const std::string& name);
  // `again`: some of it may be done.
  void apply(const std::string& endpoint, const PlannedChange& wanted, bool again);
  void update_database(const std::string& endpoint, const PlannedChange& wanted, bool again);
  bool has_role(const std::string& endpoint, const std::string& name);
  bool has_database(const std::string& endpoint, const std::string& name);
  // Of what the role owns, what another may have goes to its database's owner.
  void hand_over(const std::string& endpoint, const std::string& role);
  // What is to be kept of it, so that it can be told again: nothing, if the project wants that.
  std::optional<std::string> to_be_kept(const Branch& branch, const std::string& password);
  StoredRole require_role(const std::string& endpoint, const std::string& name);

  Catalog& catalog_;
  EndpointManager& endpoints_;
  ComputeHost& host_;
  ProjectTurns& turns_;
  Operations& operations_;
};

}  // namespace halogen::control
