// Schemas of a branch's databases, now or in the past, and how they differ.
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/text_diff.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds kDeadline{50};  // Clients wait for a minute.

// Of what users made: tables with columns and constraints, as one JSON text.
constexpr const char* kTables = R"sql(
WITH tables AS (
  SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
columns AS (
  SELECT t.oid, json_agg(json_build_object('name', a.attname,
      'type', format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull,
      'generated', a.attgenerated <> '' OR a.attidentity <> '') ORDER BY a.attnum) AS list
  FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  GROUP BY t.oid),
names AS (
  SELECT c.oid, (SELECT coalesce(json_agg(a.attname ORDER BY k.n), '[]') FROM
      unnest(c.conkey) WITH ORDINALITY k(attnum, n) JOIN pg_attribute a
      ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS own,
    (SELECT json_agg(a.attname ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(attnum, n)
      JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum) AS others
  FROM pg_constraint c),
constraints AS (
  SELECT c.conrelid AS oid, json_agg(json_strip_nulls(json_build_object('name', c.conname,
      'type', CASE c.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE'
        WHEN 'f' THEN 'FOREIGN KEY' END,
      'columns', names.own, 'referenced_table', CASE WHEN c.contype = 'f' THEN
        json_build_object('schema', n.nspname, 'table', r.relname, 'columns', names.others) END))
      ORDER BY c.conname) AS list
  FROM pg_constraint c JOIN names ON names.oid = c.oid LEFT JOIN pg_class r ON r.oid = c.confrelid
  LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
  WHERE c.contype IN ('p', 'u', 'f') GROUP BY c.conrelid)
SELECT json_build_object('tables', coalesce(json_agg(json_build_object('schema', t.nspname,
    'name', t.relname, 'columns', coalesce(columns.list, '[]'),
    'constraints', coalesce(constraints.list, '[]')) ORDER BY t.nspname, t.relname), '[]'))
FROM tables t LEFT JOIN columns ON columns.oid = t.oid
LEFT JOIN constraints ON constraints.oid = t.oid
)sql";

// Runs `work` with the endpoint whose compute shows the branch at that moment.
void at_moment(Services& services, const Branch& branch, const WantedMoment& moment,
               const std::function<void(const std::string& endpoint)>& work) {
  std::string endpoint = services.catalog.endpoint_of_branch(branch.id).id;
  if (!moment.head()) endpoint = services.projects.looks().look_at(endpoint, moment);
  services.endpoints.while_used(endpoint, [&] { work(endpoint); });
}

std::string sql_of(Services& services, const Branch& branch, const WantedMoment& moment,
                   const std::string& database) {
  std::string sql;
  at_moment(services, branch, moment, [&](const std::string& endpoint) {
    sql = services.host.dump_schema(endpoint, database, Deadline::after(kDeadline));
  });
  return sql;
}

std::string base_of(const Branch& branch, const Request& request) {
  std::string named = request.query_or("base_branch_id", "");
  if (named.empty() && !branch.parent_id)
    throw Error(Errc::invalid_argument,
                "base_branch_id is required: the branch has no parent to be compared with");
  return named.empty() ? *branch.parent_id : named;
}

}  // namespace

Response get_schema(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  const std::string database = request.query_or("db_name", "");
  const WantedMoment moment = moment_in(request, "lsn", "timestamp");
  if (request.query_or("format", "sql") == "sql")
    return json_response(200, {{"sql", sql_of(services, branch, moment, database)}});
  std::string tables;
  at_moment(services, branch, moment, [&](const std::string& endpoint) {
    auto rows = services.host.query(endpoint, database, kTables);
    if (!rows.empty() && !rows[0].empty()) tables = rows[0][0];
  });
  json parsed = json::parse(tables, nullptr, false);
  if (!parsed.is_object()) throw Error(Errc::unavailable, "the schema could not be read");
  return json_response(200, {{"json", parsed}});
}

Response compare_schema(Services& services, const Request& request) {
  const Branch branch = path_branch(services, request);
  Request of_base = request;
  of_base.path["branch_id"] = base_of(branch, request);
  const Branch base = path_branch(services, of_base);
  const std::string database = request.query_or("db_name", "");
  const std::string before =
      sql_of(services, base, moment_in(request, "base_lsn", "base_timestamp"), database);
  const std::string after =
      sql_of(services, branch, moment_in(request, "lsn", "timestamp"), database);
  return json_response(200, {{"diff", unified_diff(before, after, base.name + "/" + database,
                                                   branch.name + "/" + database)}});
}

}  // namespace halogen::control::api
