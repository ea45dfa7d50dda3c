#include "control/roles_databases.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "control/branches.h"
#include "control/names.h"
#include "control/sql_names.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

const log::Logger logger("control");

constexpr const char* kMaintenanceDatabase = "postgres";
constexpr int kMostAttempts = 3;  // At a change whose compute is lost in between.

// A statement that fails is no text for the compute's log: it may hold a verifier.
constexpr std::string_view kUnlogged = "SET log_min_error_statement = panic; ";

bool is_platforms(const StoredRole& role) {
  return role.name == "cloud_admin" || role.name == "neon_superuser";
}

template <typename T>
std::optional<T> find_named(const std::vector<T>& all, const std::string& name) {
  auto found = std::ranges::find(all, name, &T::name);
  if (found == all.end()) return std::nullopt;
  return *found;
}

Error no_such_role() { return Error(Errc::not_found, "role not found"); }
Error no_such_database() { return Error(Errc::not_found, "database not found"); }

// In the API's words, not Postgres'.
void translated(std::string_view what, const std::function<void()>& sql) {
  try {
    sql();
  } catch (const Error& error) {
    if (error.code() == Errc::already_exists)
      throw Error(Errc::already_exists, "{} already exists", what);
    throw;
  }
}

}  // namespace

template <typename T>
T RolesAndDatabases::look(const Branch& branch,
                          const std::function<T(const std::string& endpoint)>& ask,
                          const std::function<T()>& kept) {
  const std::string endpoint = catalog_.endpoint_of_branch(branch.id).id;
  std::optional<T> found;
  endpoints_.exclusively(endpoint, [&](bool running) {
    if (running)
      found = ask(endpoint);
    else if (catalog_.roles(branch.id).exact)
      found = kept();
  });
  if (!found) endpoints_.while_running(endpoint, [&] { found = ask(endpoint); });
  return *std::move(found);
}

std::vector<StoredRole> RolesAndDatabases::ask_roles(const std::string& endpoint) {
  std::vector<StoredRole> roles = host_.roles(endpoint).roles;
  std::erase_if(roles, is_platforms);
  return roles;
}

std::vector<StoredRole> RolesAndDatabases::roles(const Branch& branch) {
  return look<std::vector<StoredRole>>(
      branch, [&](const std::string& endpoint) { return ask_roles(endpoint); },
      [&] {
        std::vector<StoredRole> roles = catalog_.roles(branch.id).roles;
        std::erase_if(roles, is_platforms);
        return roles;
      });
}

std::vector<DatabaseRecord> RolesAndDatabases::databases(const Branch& branch) {
  return look<std::vector<DatabaseRecord>>(
      branch,
      [&](const std::string& endpoint) {
        return noted_databases(branch, host_.databases(endpoint));
      },
      [&] { return catalog_.databases(branch.id); });
}

// Each has its id by the catalog, which is written to only if something has changed.
std::vector<DatabaseRecord> RolesAndDatabases::noted_databases(
    const Branch& branch, const std::vector<StoredDatabase>& now) {
  std::vector<DatabaseRecord> noted = catalog_.databases(branch.id);
  auto is_noted = [&](const StoredDatabase& one) {
    auto found = find_named(noted, one.name);
    return found && found->owner == one.owner;
  };
  if (noted.size() == now.size() && std::ranges::all_of(now, is_noted)) return noted;
  catalog_.set_databases(branch.id, now);
  return catalog_.databases(branch.id);
}

StoredRole RolesAndDatabases::role(const Branch& branch, const std::string& name) {
  if (auto found = find_named(roles(branch), name)) return *found;
  throw no_such_role();
}

DatabaseRecord RolesAndDatabases::database(const Branch& branch, const std::string& name) {
  if (auto found = find_named(databases(branch), name)) return *found;
  throw no_such_database();
}

// As a change has left it.
DatabaseRecord RolesAndDatabases::noted_database(const Branch& branch, const std::string& name) {
  if (auto found = find_named(catalog_.databases(branch.id), name)) return *found;
  throw no_such_database();
}

RolesAndDatabases::Turns RolesAndDatabases::turns_for_change(const Branch& branch) {
  return {turn_in(turns_, branch.project_id, ProjectTurns::Kind::shared),
          turn_in(turns_, branch.id, ProjectTurns::Kind::alone)};
}

Operation RolesAndDatabases::change(const Branch& branch, PlannedChange wanted,
                                    std::shared_ptr<StoredRole> found) {
  const Turns turns = turns_for_change(branch);
  const Operation operation =
      new_operation(branch, catalog_.endpoint_of_branch(branch.id).id, "apply_config");
  wanted.operation_id = operation.id;
  wanted.branch_id = branch.id;
  return operations_.run(operation, [this, turns, operation, wanted, found] {
    carry_out(operation, wanted, false, *found);
  });
}

void RolesAndDatabases::go_on() {
  for (const PlannedChange& planned : catalog_.planned_changes()) {
    const Branch branch = catalog_.branch(planned.branch_id);
    if (branch.state != "ready") {
      catalog_.drop_change(planned, "the branch is being deleted");
      continue;
    }
    const Operation operation = catalog_.operation(planned.operation_id);
    logger.info("{}: {} goes on after a restart", branch.id, operation.action);
    operations_.go_on(operation, [this, turns = turns_for_change(branch), operation, planned] {
      StoredRole found;
      carry_out(operation, planned, true, found);
    });
  }
}

void RolesAndDatabases::carry_out(const Operation& operation, const PlannedChange& wanted,
                                  bool planned, StoredRole& found) {
  const std::string& endpoint = operation.endpoint_id;
  bool again = planned;
  for (int attempt = 1;; ++attempt) {
    try {
      return endpoints_.while_running(endpoint, [&] {
        if (!planned) {
          require_possible(endpoint, wanted, found);
          catalog_.plan_change(operation, wanted);
          planned = true;
        }
        apply(endpoint, wanted, std::exchange(again, true));
        catalog_.finish_change(wanted, host_.roles(endpoint).roles, host_.databases(endpoint));
      });
    } catch (const Error& error) {
      if (!planned) throw;
      const bool lost = error.code() == Errc::unavailable || error.code() == Errc::timed_out;
      if (!lost || attempt == kMostAttempts) {
        catalog_.drop_change(wanted, error.what());
        throw;
      }
      logger.info("{}: the change is tried again: {}", endpoint, error.what());
    }
  }
}

bool RolesAndDatabases::has_role(const std::string& endpoint, const std::string& name) {
  return find_named(host_.roles(endpoint).roles, name).has_value();
}

bool RolesAndDatabases::has_database(const std::string& endpoint, const std::string& name) {
  return find_named(host_.databases(endpoint), name).has_value();
}

StoredRole RolesAndDatabases::require_role(const std::string& endpoint, const std::string& name) {
  if (auto found = find_named(ask_roles(endpoint), name)) return *found;
  throw no_such_role();
}

StoredDatabase RolesAndDatabases::require_database(const std::string& endpoint,
                                                   const std::string& name) {
  if (auto found = find_named(host_.databases(endpoint), name)) return *found;
  throw no_such_database();
}

void RolesAndDatabases::require_possible_name(const std::string& endpoint,
                                              const std::string& database) {
  if (has_database(endpoint, database))
    throw Error(Errc::already_exists, "database already exists");
}

void RolesAndDatabases::require_possible(const std::string& endpoint, const PlannedChange& wanted,
                                         StoredRole& found) {
  switch (wanted.kind) {
    case ChangeKind::create_role:
      if (has_role(endpoint, wanted.name)) throw Error(Errc::already_exists, "role already exists");
      return;
    case ChangeKind::reset_password:
      found = require_role(endpoint, wanted.name);
      return;
    case ChangeKind::delete_role:
      found = require_role(endpoint, wanted.name);
      for (const StoredDatabase& database : host_.databases(endpoint))
        if (database.owner == wanted.name)
          throw Error(Errc::conflict,
                      "role owns the database \"{}\": give that another owner first",
                      database.name);
      return;
    case ChangeKind::create_database:
      require_role(endpoint, wanted.owner);
      return require_possible_name(endpoint, wanted.name);
    case ChangeKind::update_database:
      require_database(endpoint, wanted.name);
      if (!wanted.owner.empty()) require_role(endpoint, wanted.owner);
      if (wanted.new_name != wanted.name) require_possible_name(endpoint, wanted.new_name);
      return;
    case ChangeKind::delete_database:
      require_database(endpoint, wanted.name);
      return;
  }
}

void RolesAndDatabases::apply(const std::string& endpoint, const PlannedChange& wanted,
                              bool again) {
  const std::string name = quoted_name(wanted.name);
  auto run = [&](const std::string& sql) { host_.execute(endpoint, kMaintenanceDatabase, sql); };
  switch (wanted.kind) {
    case ChangeKind::create_role: {
      if (again && has_role(endpoint, wanted.name)) return;
      const std::string login =
          wanted.can_login ? fmt::format("LOGIN PASSWORD '{}'", wanted.verifier) : "NOLOGIN";
      return translated("role", [&] {
        run(fmt::format("{}CREATE ROLE {} {} CREATEDB CREATEROLE BYPASSRLS IN ROLE neon_superuser",
                        kUnlogged, name, login));
      });
    }
    case ChangeKind::reset_password:
      return run(fmt::format("{}ALTER ROLE {} PASSWORD '{}'", kUnlogged, name, wanted.verifier));
    case ChangeKind::delete_role:
      if (again && !has_role(endpoint, wanted.name)) return;
      hand_over(endpoint, wanted.name);
      return run(fmt::format("DROP ROLE {}", name));
    case ChangeKind::create_database:
      if (again && has_database(endpoint, wanted.name)) return;
      return translated("database", [&] {
        run(fmt::format("CREATE DATABASE {} OWNER {}", name, quoted_name(wanted.owner)));
      });
    case ChangeKind::update_database:
      return update_database(endpoint, wanted, again);
    case ChangeKind::delete_database:
      if (again && !has_database(endpoint, wanted.name)) return;
      return run(fmt::format("DROP DATABASE {} WITH (FORCE)", name));
  }
}

// In one transaction.
void RolesAndDatabases::update_database(const std::string& endpoint, const PlannedChange& wanted,
                                        bool again) {
  if (again && !has_database(endpoint, wanted.name) && has_database(endpoint, wanted.new_name))
    return;
  std::string sql;
  if (!wanted.owner.empty())
    sql += fmt::format("ALTER DATABASE {} OWNER TO {};", quoted_name(wanted.name),
                       quoted_name(wanted.owner));
  if (wanted.new_name != wanted.name)
    sql += fmt::format("ALTER DATABASE {} RENAME TO {};", quoted_name(wanted.name),
                       quoted_name(wanted.new_name));
  if (sql.empty()) return;
  translated("database", [&] { host_.execute(endpoint, kMaintenanceDatabase, sql); });
}

std::optional<std::string> RolesAndDatabases::to_be_kept(const Branch& branch,
                                                         const std::string& password) {
  const bool keeps = catalog_.project(branch.project_id).store_passwords;
  return keeps ? std::optional(password) : std::nullopt;
}

RoleChange RolesAndDatabases::create_role(const Branch& branch, const std::string& name,
                                          bool can_login) {
  check_sql_name("role", name);
  PlannedChange wanted{.kind = ChangeKind::create_role, .name = name, .can_login = can_login};
  RoleChange made;
  if (can_login) {
    made.password = new_password();
    wanted.verifier = scram::make_verifier(*made.password).str();
    wanted.password = to_be_kept(branch, *made.password);
  }
  made.role = {name, wanted.verifier, can_login};
  made.operation = change(branch, wanted, std::make_shared<StoredRole>());
  return made;
}

// One that takes longer has not looked at the role yet: most log in.
RoleChange RolesAndDatabases::reset_password(const Branch& branch, const std::string& name) {
  RoleChange changed;
  changed.password = new_password();
  PlannedChange wanted{.kind = ChangeKind::reset_password, .name = name};
  wanted.verifier = scram::make_verifier(*changed.password).str();
  wanted.password = to_be_kept(branch, *changed.password);
  auto found = std::make_shared<StoredRole>();
  changed.operation = change(branch, wanted, found);
  changed.role = {name, wanted.verifier, !changed.operation.over() || found->can_login};
  return changed;
}

RoleChange RolesAndDatabases::delete_role(const Branch& branch, const std::string& name) {
  auto found = std::make_shared<StoredRole>();
  RoleChange gone;
  gone.operation = change(branch, {.kind = ChangeKind::delete_role, .name = name}, found);
  gone.role = gone.operation.over() ? *found : StoredRole{name, "", true};
  return gone;
}

// Nothing may become the platform's: a function of the superuser's would run as the superuser. So
// where a database has no user as its owner the role's objects go with it.
void RolesAndDatabases::hand_over(const std::string& endpoint, const std::string& role) {
  std::vector<StoredDatabase> databases = host_.databases(endpoint);
  const std::vector<StoredRole> users = ask_roles(endpoint);
  databases.push_back({kMaintenanceDatabase, ""});
  for (const StoredDatabase& database : databases) {
    std::string sql = fmt::format("DROP OWNED BY {}", quoted_name(role));
    if (find_named(users, database.owner))
      sql = fmt::format("REASSIGN OWNED BY {} TO {}; {}", quoted_name(role),
                        quoted_name(database.owner), sql);
    host_.execute(endpoint, database.name, sql);
  }
}

DatabaseChange RolesAndDatabases::create_database(const Branch& branch, const std::string& name,
                                                  const std::string& owner) {
  check_sql_name("database", name);
  check_sql_name("owner", owner);
  PlannedChange wanted{.kind = ChangeKind::create_database, .name = name, .owner = owner};
  const Operation operation = change(branch, wanted, std::make_shared<StoredRole>());
  if (operation.over()) return {noted_database(branch, name), operation};
  wanted.operation_id = operation.id;
  return {catalog_.expect_database(wanted), operation};
}

DatabaseChange RolesAndDatabases::update_database(const Branch& branch, const std::string& name,
                                                  const std::string& new_name,
                                                  const std::string& new_owner) {
  const std::string after = new_name.empty() ? name : new_name;
  check_sql_name("database", after);
  PlannedChange wanted{
      .kind = ChangeKind::update_database, .name = name, .new_name = after, .owner = new_owner};
  const Operation operation = change(branch, wanted, std::make_shared<StoredRole>());
  if (operation.over()) return {noted_database(branch, after), operation};
  DatabaseRecord later = database(branch, name);
  later.name = after;
  if (!new_owner.empty()) later.owner = new_owner;
  return {later, operation};
}

DatabaseChange RolesAndDatabases::delete_database(const Branch& branch, const std::string& name) {
  auto known = find_named(catalog_.databases(branch.id), name);
  const DatabaseRecord gone = known ? *known : database(branch, name);
  const Operation operation = change(branch, {.kind = ChangeKind::delete_database, .name = name},
                                     std::make_shared<StoredRole>());
  return {gone, operation};
}

std::string RolesAndDatabases::create_extension(const Branch& branch, const std::string& name,
                                                const std::string& extension) {
  const DatabaseRecord found = database(branch, name);
  const std::string endpoint = catalog_.endpoint_of_branch(branch.id).id;
  endpoints_.while_running(endpoint, [&] {
    host_.execute(endpoint, found.name,
                  fmt::format("BEGIN; SET LOCAL ROLE {}; CREATE EXTENSION IF NOT EXISTS {} SCHEMA "
                              "public; COMMIT",
                              quoted_name(found.owner), quoted_name(extension)));
  });
  return found.name;
}

}  // namespace halogen::control
