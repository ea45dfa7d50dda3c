#include "control/schema_copy.h"

#include <fmt/core.h>

#include <vector>

#include "control/catalog.h"
#include "control/sql_names.h"

namespace halogen::control {
namespace {

constexpr const char* kMaintenanceDatabase = "postgres";
constexpr std::chrono::seconds kDumpDeadline{60};

// A statement for each role of users, with its verifier: passwords stay what they are.
constexpr const char* kRoles = R"sql(
SELECT format('CREATE ROLE %I %s %s %s %s %s %s CONNECTION LIMIT %s%s%s', rolname,
    CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
    CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
    CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, rolconnlimit,
    ' VALID UNTIL ' || quote_literal(rolvaliduntil::text),
    ' PASSWORD ' || quote_literal(rolpassword))
FROM pg_authid WHERE NOT rolsuper AND rolname !~ '^pg_' AND rolname <> 'neon_superuser'
ORDER BY rolname)sql";

constexpr const char* kMemberships = R"sql(
SELECT format('GRANT %I TO %I%s', r.rolname, m.rolname,
    CASE WHEN a.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM pg_auth_members a JOIN pg_authid r ON r.oid = a.roleid JOIN pg_authid m ON m.oid = a.member
WHERE NOT m.rolsuper AND m.rolname !~ '^pg_' AND m.rolname <> 'neon_superuser'
ORDER BY 1)sql";

constexpr const char* kDatabases = R"sql(
SELECT d.datname, format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING %L '
    'LOCALE_PROVIDER %s LC_COLLATE %L LC_CTYPE %L%s CONNECTION LIMIT %s', d.datname, r.rolname,
    pg_encoding_to_char(d.encoding), CASE d.datlocprovider WHEN 'i' THEN 'icu' ELSE 'libc' END,
    d.datcollate, d.datctype, ' ICU_LOCALE ' || quote_literal(d.daticulocale), d.datconnlimit)
FROM pg_database d JOIN pg_authid r ON r.oid = d.datdba
WHERE d.datname NOT IN ('postgres', 'template0', 'template1') ORDER BY d.datname)sql";

// Of roles, databases and both. Lists of names are kept as they are to be said.
constexpr const char* kSettings = R"sql(
SELECT format('ALTER %s SET %s TO %s',
    CASE WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
      WHEN s.setdatabase = 0 THEN format('ROLE %I', r.rolname)
      ELSE format('ROLE %I IN DATABASE %I', r.rolname, d.datname) END,
    c.name, CASE WHEN c.name IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
      'session_preload_libraries') THEN c.value ELSE quote_literal(c.value) END)
FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_authid r ON r.oid = s.setrole,
  LATERAL (SELECT quote_ident(split_part(x, '=', 1)) AS name,
    substr(x, strpos(x, '=') + 1) AS value FROM unnest(s.setconfig) x) c
WHERE (s.setrole = 0 OR NOT r.rolsuper) AND
  (s.setdatabase = 0 OR d.datname NOT IN ('postgres', 'template0', 'template1'))
ORDER BY 1)sql";

// A dump does not say whose extensions are.
constexpr const char* kExtensions = R"sql(
SELECT e.extname, r.rolname FROM pg_extension e JOIN pg_authid r ON r.oid = e.extowner
WHERE NOT r.rolsuper)sql";

constexpr const char* kGiveExtension = R"sql(
BEGIN; SET LOCAL allow_system_table_mods = on;
UPDATE pg_extension SET extowner = (SELECT oid FROM pg_authid WHERE rolname = {1})
  WHERE extname = {0};
INSERT INTO pg_shdepend SELECT d.oid, 'pg_extension'::regclass, e.oid, 0, 'pg_authid'::regclass,
    e.extowner, 'o' FROM pg_extension e, pg_database d
  WHERE e.extname = {0} AND d.datname = current_database();
COMMIT)sql";

struct DatabaseSchema {
  std::string name;
  std::string creation;
  std::string schema;
  std::vector<std::pair<std::string, std::string>> extensions;  // With their owners.
};

struct Schema {
  std::vector<std::string> roles;
  std::vector<DatabaseSchema> databases;
  std::vector<std::string> settings;
};

void append_first(std::vector<std::string>& to, const std::vector<std::vector<std::string>>& rows) {
  for (const auto& row : rows) to.push_back(row.at(0));
}

Schema read(ComputeHost& host, const std::string& endpoint) {
  Schema schema;
  append_first(schema.roles, host.query(endpoint, kMaintenanceDatabase, kRoles));
  append_first(schema.roles, host.query(endpoint, kMaintenanceDatabase, kMemberships));
  append_first(schema.settings, host.query(endpoint, kMaintenanceDatabase, kSettings));
  for (const auto& row : host.query(endpoint, kMaintenanceDatabase, kDatabases)) {
    DatabaseSchema database{row.at(0), row.at(1), "", {}};
    database.schema = host.dump_schema(endpoint, database.name, Deadline::after(kDumpDeadline));
    for (const auto& one : host.query(endpoint, database.name, kExtensions))
      database.extensions.emplace_back(one.at(0), one.at(1));
    schema.databases.push_back(std::move(database));
  }
  return schema;
}

void write(ComputeHost& host, const std::string& endpoint, const Schema& schema) {
  auto run = [&](const std::string& database, const std::string& sql) {
    host.execute(endpoint, database, sql);
  };
  run(kMaintenanceDatabase, fmt::format("DROP DATABASE {}", kFirstDatabase));
  run(kMaintenanceDatabase, fmt::format("DROP ROLE {}", kOwnerRole));
  std::string roles = "SET LOCAL log_min_error_statement = panic";
  for (const std::string& statement : schema.roles) roles += ";\n" + statement;
  run(kMaintenanceDatabase, "BEGIN;" + roles + "; COMMIT");
  for (const DatabaseSchema& database : schema.databases) {
    run(kMaintenanceDatabase, database.creation);
    run(database.name, database.schema);
    for (const auto& [extension, owner] : database.extensions)
      run(database.name, fmt::format(fmt::runtime(kGiveExtension), quoted_literal(extension),
                                     quoted_literal(owner)));
  }
  for (const std::string& statement : schema.settings) run(kMaintenanceDatabase, statement);
}

}  // namespace

void copy_schema(EndpointManager& endpoints, ComputeHost& host, const std::string& source,
                 const std::string& target) {
  Schema schema;
  endpoints.while_used(source, [&] { schema = read(host, source); });
  endpoints.while_running(target, [&] { write(host, target, schema); });
}

}  // namespace halogen::control
