#include "control/roles_databases.h"

#include <algorithm>

#include "base/error.h"
#include "control/names.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

constexpr const char* kMaintenanceDatabase = "postgres";
constexpr size_t kLongestName = 63;  // Bytes; Postgres cuts off more.

// A statement that fails is no text for the compute's log: it may hold a verifier.
constexpr std::string_view kUnlogged = "SET log_min_error_statement = panic; ";

bool is_platforms(const StoredRole& role) {
  return role.name == "cloud_admin" || role.name == "neon_superuser";
}

void check_name(std::string_view what, const std::string& name) {
  if (name.empty()) throw Error(Errc::invalid_argument, "{} name is required", what);
  if (name.size() > kLongestName)
    throw Error(Errc::invalid_argument, "{} name is longer than {} bytes", what, kLongestName);
  if (std::ranges::any_of(name, [](unsigned char c) { return c < ' '; }))
    throw Error(Errc::invalid_argument, "{} name holds a control character", what);
}

std::string quoted(const std::string& name) {
  std::string out = "\"";
  for (char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
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

// As change() has left it.
DatabaseRecord RolesAndDatabases::noted_database(const Branch& branch, const std::string& name) {
  if (auto found = find_named(catalog_.databases(branch.id), name)) return *found;
  throw no_such_database();
}

Operation RolesAndDatabases::change(const Branch& branch,
                                    const std::function<void(const std::string&)>& work) {
  const ProjectTurns::Hold turn(turns_, branch.project_id, ProjectTurns::Kind::shared,
                                Deadline::after(ProjectTurns::kPatience));
  const std::string endpoint = catalog_.endpoint_of_branch(branch.id).id;
  endpoints_.while_running(endpoint, [&] {
    work(endpoint);
    catalog_.set_roles_databases(branch.id, host_.roles(endpoint).roles, host_.databases(endpoint));
  });
  return catalog_.record_finished(branch, endpoint, "apply_config");
}

void RolesAndDatabases::keep_password(const Branch& branch, const std::string& role,
                                      const std::string& password) {
  if (catalog_.project(branch.project_id).store_passwords)
    catalog_.set_password(branch.id, role, password);
}

void RolesAndDatabases::require_role(const std::string& endpoint, const std::string& name) {
  if (!find_named(ask_roles(endpoint), name)) throw no_such_role();
}

// In one transaction, and before anybody knows a way in.
Operation RolesAndDatabases::name_first(const Branch& branch, const std::string& role,
                                        const std::string& database) {
  check_name("role", role);
  check_name("database", database);
  return change(branch, [&](const std::string& endpoint) {
    std::string sql;
    if (role != kOwnerRole)
      sql += fmt::format("ALTER ROLE {} RENAME TO {};", kOwnerRole, quoted(role));
    if (database != kFirstDatabase)
      sql += fmt::format("ALTER DATABASE {} RENAME TO {};", kFirstDatabase, quoted(database));
    if (sql.empty()) return;
    host_.execute(endpoint, kMaintenanceDatabase, sql);
    std::optional<std::string> password = catalog_.password(branch.id, kOwnerRole);
    catalog_.remove_password(branch.id, kOwnerRole);
    if (password) catalog_.set_password(branch.id, role, *password);
  });
}

RoleChange RolesAndDatabases::create_role(const Branch& branch, const std::string& name,
                                          bool can_login) {
  check_name("role", name);
  RoleChange made;
  made.role = {name, "", can_login};
  std::string login = "NOLOGIN";
  if (can_login) {
    made.password = new_password();
    made.role.verifier = scram::make_verifier(*made.password).str();
    login = fmt::format("LOGIN PASSWORD '{}'", made.role.verifier);
  }
  made.operation = change(branch, [&](const std::string& endpoint) {
    translated("role", [&] {
      host_.execute(endpoint, kMaintenanceDatabase,
                    fmt::format("{}CREATE ROLE {} {} CREATEDB CREATEROLE BYPASSRLS IN ROLE "
                                "neon_superuser",
                                kUnlogged, quoted(name), login));
    });
    // Of no harm if we end before: whoever asks is told that it is not known.
    if (made.password) keep_password(branch, name, *made.password);
  });
  return made;
}

RoleChange RolesAndDatabases::reset_password(const Branch& branch, const std::string& name) {
  RoleChange changed;
  changed.password = new_password();
  changed.role = {name, scram::make_verifier(*changed.password).str(), true};
  changed.operation = change(branch, [&](const std::string& endpoint) {
    std::optional<StoredRole> role = find_named(ask_roles(endpoint), name);
    if (!role) throw no_such_role();
    changed.role.can_login = role->can_login;
    host_.execute(endpoint, kMaintenanceDatabase,
                  fmt::format("{}ALTER ROLE {} PASSWORD '{}'", kUnlogged, quoted(name),
                              changed.role.verifier));
    keep_password(branch, name, *changed.password);
  });
  return changed;
}

RoleChange RolesAndDatabases::delete_role(const Branch& branch, const std::string& name) {
  RoleChange gone;
  gone.operation = change(branch, [&](const std::string& endpoint) {
    std::optional<StoredRole> role = find_named(ask_roles(endpoint), name);
    if (!role) throw no_such_role();
    hand_over(endpoint, name);
    host_.execute(endpoint, kMaintenanceDatabase, fmt::format("DROP ROLE {}", quoted(name)));
    catalog_.remove_password(branch.id, name);
    gone.role = *role;
  });
  return gone;
}

// Nothing may become the platform's: a function of the superuser's would run as the superuser. So
// where a database has no user as its owner the role's objects go with it.
void RolesAndDatabases::hand_over(const std::string& endpoint, const std::string& role) {
  std::vector<StoredDatabase> databases = host_.databases(endpoint);
  for (const StoredDatabase& database : databases)
    if (database.owner == role)
      throw Error(Errc::conflict, "role owns the database \"{}\": give that another owner first",
                  database.name);
  const std::vector<StoredRole> users = ask_roles(endpoint);
  databases.push_back({kMaintenanceDatabase, ""});
  for (const StoredDatabase& database : databases) {
    std::string sql = fmt::format("DROP OWNED BY {}", quoted(role));
    if (find_named(users, database.owner))
      sql =
          fmt::format("REASSIGN OWNED BY {} TO {}; {}", quoted(role), quoted(database.owner), sql);
    host_.execute(endpoint, database.name, sql);
  }
}

DatabaseChange RolesAndDatabases::create_database(const Branch& branch, const std::string& name,
                                                  const std::string& owner) {
  check_name("database", name);
  check_name("owner", owner);
  Operation operation = change(branch, [&](const std::string& endpoint) {
    require_role(endpoint, owner);
    translated("database", [&] {
      host_.execute(endpoint, kMaintenanceDatabase,
                    fmt::format("CREATE DATABASE {} OWNER {}", quoted(name), quoted(owner)));
    });
  });
  return {noted_database(branch, name), operation};
}

DatabaseChange RolesAndDatabases::update_database(const Branch& branch, const std::string& name,
                                                  const std::string& new_name,
                                                  const std::string& new_owner) {
  const std::string after = new_name.empty() ? name : new_name;
  check_name("database", after);
  Operation operation = change(branch, [&](const std::string& endpoint) {
    std::optional<StoredDatabase> before = find_named(host_.databases(endpoint), name);
    if (!before) throw no_such_database();
    std::string sql;
    if (!new_owner.empty() && new_owner != before->owner) {
      require_role(endpoint, new_owner);
      sql += fmt::format("ALTER DATABASE {} OWNER TO {};", quoted(name), quoted(new_owner));
    }
    if (after != name)
      sql += fmt::format("ALTER DATABASE {} RENAME TO {};", quoted(name), quoted(after));
    if (sql.empty()) return;
    translated("database", [&] { host_.execute(endpoint, kMaintenanceDatabase, sql); });
  });
  return {noted_database(branch, after), operation};
}

DatabaseChange RolesAndDatabases::delete_database(const Branch& branch, const std::string& name) {
  DatabaseRecord gone = database(branch, name);
  Operation operation = change(branch, [&](const std::string& endpoint) {
    if (!find_named(host_.databases(endpoint), name)) throw no_such_database();
    host_.execute(endpoint, kMaintenanceDatabase,
                  fmt::format("DROP DATABASE {} WITH (FORCE)", quoted(name)));
  });
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
                              quoted(found.owner), quoted(extension)));
  });
  return found.name;
}

}  // namespace halogen::control
