#include "compute/agent/autovacuum_watch.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/log.h"

namespace halogen::compute {
namespace {

const log::Logger logger("compute");

// Databases, first those that must be frozen.
constexpr const char* kDatabases = R"sql(
SELECT datname,
       age(datfrozenxid) > current_setting('autovacuum_freeze_max_age')::int
       OR mxid_age(datminmxid) > current_setting('autovacuum_multixact_freeze_max_age')::int AS old,
       datallowconn AND current_setting('autovacuum')::bool
       AND current_setting('track_counts')::bool,
       pg_stat_get_db_tuples_inserted(oid) + pg_stat_get_db_tuples_updated(oid)
       + pg_stat_get_db_tuples_deleted(oid)
FROM pg_catalog.pg_database ORDER BY old DESC)sql";

// Tables by the counters; those of this database only are to be seen. A table's own options count
// before the settings.
constexpr const char* kTables = R"sql(
SELECT format('%I.%I', s.schemaname, s.relname)
FROM pg_catalog.pg_stat_all_tables s
JOIN pg_catalog.pg_class c
  ON c.oid = s.relid AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
CROSS JOIN LATERAL (
  SELECT jsonb_object_agg(option_name, option_value)
  FROM pg_catalog.pg_options_to_table(c.reloptions)
) own (options)
CROSS JOIN LATERAL (
  SELECT name, coalesce(own.options ->> name, setting)::float8
         + coalesce(own.options ->> replace(name, 'threshold', 'scale_factor'), scale)::float8
           * greatest(c.reltuples, 0) AS most,
         coalesce(own.options ->> name, setting)::float8 >= 0 AS counts
  FROM (SELECT name, current_setting(name) AS setting,
               current_setting(replace(name, 'threshold', 'scale_factor')) AS scale
        FROM unnest(ARRAY['autovacuum_vacuum_threshold', 'autovacuum_vacuum_insert_threshold',
                          'autovacuum_analyze_threshold']) AS name) AS set
) bound
WHERE coalesce((own.options ->> 'autovacuum_enabled')::bool, true) AND bound.counts
  AND CASE bound.name WHEN 'autovacuum_vacuum_threshold' THEN s.n_dead_tup
                      WHEN 'autovacuum_vacuum_insert_threshold' THEN s.n_ins_since_vacuum
                      ELSE s.n_mod_since_analyze END > greatest(bound.most, {})
LIMIT 1)sql";

int64_t number(const std::string& text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::string AutovacuumWatch::due(const ComputeAddress& address, SqlConnection& connection,
                                 Deadline deadline) {
  try {
    for (const SqlRow& row : connection.query(kDatabases, deadline)) {
      const std::string& database = row[0];
      if (row[1] == "t") return fmt::format("database {}", database);
      int64_t changes = number(row[3]);
      if (row[2] != "t" || !may_be_due(database, changes)) continue;
      SqlConnection there(address, database, deadline);
      auto tables = there.query(fmt::format(kTables, kWorthIt), deadline);
      if (!tables.empty()) return fmt::format("{} in database {}", tables[0][0], database);
      changes_seen_[database] = changes;
    }
  } catch (const Error& error) {
    logger.debug("cannot tell whether autovacuum has work: {}", error.what());
  }
  return "";
}

bool AutovacuumWatch::may_be_due(const std::string& database, int64_t changes) {
  int64_t& seen = changes_seen_[database];
  if (changes < seen) seen = 0;  // The counters were lost in a crash.
  return changes - seen > kWorthIt;
}

}  // namespace halogen::compute
