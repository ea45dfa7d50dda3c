#include "control/settings/allowed_settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <climits>
#include <vector>

#include "base/error.h"
#include "control/settings/preload_libraries.h"

namespace halogen::control {
namespace {

using setting::Unit;
using Kind = AllowedSetting::Kind;

constexpr double kMost = INT_MAX;
constexpr double kAny = 1e300;

// A setting's type and range: what a row has behind the name.
struct Type {
  Kind kind;
  Unit unit = Unit::none;
  double least = 0, most = 0;
  std::string_view choices = {};
};

constexpr Type boolean() { return {.kind = Kind::boolean}; }
constexpr Type integer(double least, double most, Unit unit = Unit::none) {
  return {.kind = Kind::integer, .unit = unit, .least = least, .most = most};
}
constexpr Type real(double least, double most, Unit unit = Unit::none) {
  return {.kind = Kind::real, .unit = unit, .least = least, .most = most};
}
constexpr Type one_of(std::string_view choices) {
  return {.kind = Kind::choice, .choices = choices};
}
constexpr Type libraries(std::string_view choices) {
  return {.kind = Kind::libraries, .choices = choices};
}

// Of an object in a database.
constexpr Type object_name() { return {.kind = Kind::name}; }

constexpr AllowedSetting row(std::string_view name, const Type& type) {
  return {name, type.kind, type.unit, type.least, type.most, type.choices};
}

// Ranges are Postgres' own, but for what is shared memory, a process or a file from the start on,
// and for what the safekeeper and the agent need for themselves.
const AllowedSetting kAllowed[] = {
    // Memory.
    row("shared_buffers", integer(16, 262144, Unit::blocks)),
    row("work_mem", integer(64, kMost, Unit::kilobytes)),
    row("hash_mem_multiplier", real(1, 1000)),
    row("maintenance_work_mem", integer(1024, kMost, Unit::kilobytes)),
    row("autovacuum_work_mem", integer(-1, kMost, Unit::kilobytes)),
    row("logical_decoding_work_mem", integer(64, kMost, Unit::kilobytes)),
    row("temp_buffers", integer(100, 1073741823, Unit::blocks)),
    // Connections and timeouts.
    row("max_connections", integer(10, 2000)),
    row("max_prepared_transactions", integer(0, 1000)),
    row("max_locks_per_transaction", integer(10, 4096)),
    row("max_pred_locks_per_transaction", integer(10, 4096)),
    row("max_pred_locks_per_relation", integer(-kMost - 1, kMost)),
    row("max_pred_locks_per_page", integer(0, kMost)),
    row("statement_timeout", integer(0, kMost, Unit::milliseconds)),
    row("lock_timeout", integer(0, kMost, Unit::milliseconds)),
    row("idle_in_transaction_session_timeout", integer(0, kMost, Unit::milliseconds)),
    row("idle_session_timeout", integer(0, kMost, Unit::milliseconds)),
    row("deadlock_timeout", integer(10, kMost, Unit::milliseconds)),
    row("client_connection_check_interval", integer(0, kMost, Unit::milliseconds)),
    // Replication.
    row("wal_level", one_of("replica|logical")),
    row("max_replication_slots", integer(5, 100)),
    row("max_wal_senders", integer(5, 100)),
    row("max_logical_replication_workers", integer(0, 64)),
    row("max_sync_workers_per_subscription", integer(0, 64)),
    row("track_commit_timestamp", boolean()),
    // WAL and checkpoints. What a commit waits for is its owner's choice.
    row("synchronous_commit", one_of("local|remote_write|remote_apply|on|off")),
    row("commit_delay", integer(0, 100000)),
    row("commit_siblings", integer(0, 1000)),
    row("wal_compression", one_of("pglz|lz4|zstd|on|off")),
    row("wal_skip_threshold", integer(0, kMost, Unit::kilobytes)),
    row("wal_writer_delay", integer(1, 10000, Unit::milliseconds)),
    row("wal_writer_flush_after", integer(0, kMost, Unit::blocks)),
    row("checkpoint_timeout", integer(30, 86400, Unit::seconds)),
    row("checkpoint_completion_target", real(0, 1)),
    row("max_wal_size", integer(64, 16384, Unit::megabytes)),
    row("min_wal_size", integer(32, 16384, Unit::megabytes)),
    // Workers.
    // Postgres does not start with fewer than 58 free ones; preloaded libraries take some.
    row("max_files_per_process", integer(100, 4096)),
    row("max_worker_processes", integer(2, 64)),
    row("max_parallel_workers", integer(0, 64)),
    row("max_parallel_workers_per_gather", integer(0, 1024)),
    row("max_parallel_maintenance_workers", integer(0, 1024)),
    row("parallel_leader_participation", boolean()),
    // Reading and writing.
    row("effective_io_concurrency", integer(0, 1000)),
    row("maintenance_io_concurrency", integer(0, 1000)),
    row("bgwriter_delay", integer(10, 10000, Unit::milliseconds)),
    row("bgwriter_lru_maxpages", integer(0, 1073741823)),
    row("bgwriter_lru_multiplier", real(0, 10)),
    row("synchronize_seqscans", boolean()),
    // Vacuum.
    row("autovacuum", boolean()),
    row("autovacuum_analyze_scale_factor", real(0, 100)),
    row("autovacuum_analyze_threshold", integer(0, kMost)),
    row("autovacuum_freeze_max_age", integer(100000, 2000000000)),
    row("autovacuum_max_workers", integer(1, 20)),
    row("autovacuum_multixact_freeze_max_age", integer(10000, 2000000000)),
    row("autovacuum_naptime", integer(1, 2147483, Unit::seconds)),
    row("autovacuum_vacuum_cost_delay", real(-1, 100, Unit::milliseconds)),
    row("autovacuum_vacuum_cost_limit", integer(-1, 10000)),
    row("autovacuum_vacuum_insert_scale_factor", real(0, 100)),
    row("autovacuum_vacuum_insert_threshold", integer(-1, kMost)),
    row("autovacuum_vacuum_scale_factor", real(0, 100)),
    row("autovacuum_vacuum_threshold", integer(0, kMost)),
    row("vacuum_cost_delay", real(0, 100, Unit::milliseconds)),
    row("vacuum_cost_limit", integer(1, 10000)),
    row("vacuum_cost_page_dirty", integer(0, 10000)),
    row("vacuum_cost_page_hit", integer(0, 10000)),
    row("vacuum_cost_page_miss", integer(0, 10000)),
    row("vacuum_failsafe_age", integer(0, 2100000000)),
    row("vacuum_freeze_min_age", integer(0, 1000000000)),
    row("vacuum_freeze_table_age", integer(0, 2000000000)),
    row("vacuum_multixact_failsafe_age", integer(0, 2100000000)),
    row("vacuum_multixact_freeze_min_age", integer(0, 1000000000)),
    row("vacuum_multixact_freeze_table_age", integer(0, 2000000000)),
    // The planner.
    row("constraint_exclusion", one_of("partition|on|off")),
    row("cpu_index_tuple_cost", real(0, kAny)),
    row("cpu_operator_cost", real(0, kAny)),
    row("cpu_tuple_cost", real(0, kAny)),
    row("cursor_tuple_fraction", real(0, 1)),
    row("default_statistics_target", integer(1, 10000)),
    row("effective_cache_size", integer(1, kMost, Unit::blocks)),
    row("enable_async_append", boolean()),
    row("enable_bitmapscan", boolean()),
    row("enable_gathermerge", boolean()),
    row("enable_hashagg", boolean()),
    row("enable_hashjoin", boolean()),
    row("enable_incremental_sort", boolean()),
    row("enable_indexonlyscan", boolean()),
    row("enable_indexscan", boolean()),
    row("enable_material", boolean()),
    row("enable_memoize", boolean()),
    row("enable_mergejoin", boolean()),
    row("enable_nestloop", boolean()),
    row("enable_parallel_append", boolean()),
    row("enable_parallel_hash", boolean()),
    row("enable_partition_pruning", boolean()),
    row("enable_partitionwise_aggregate", boolean()),
    row("enable_partitionwise_join", boolean()),
    row("enable_seqscan", boolean()),
    row("enable_sort", boolean()),
    row("enable_tidscan", boolean()),
    row("from_collapse_limit", integer(1, kMost)),
    row("geqo", boolean()),
    row("geqo_effort", integer(1, 10)),
    row("geqo_generations", integer(0, kMost)),
    row("geqo_pool_size", integer(0, kMost)),
    row("geqo_seed", real(0, 1)),
    row("geqo_selection_bias", real(1.5, 2)),
    row("geqo_threshold", integer(2, kMost)),
    row("jit", boolean()),
    row("jit_above_cost", real(-1, kAny)),
    row("jit_expressions", boolean()),
    row("jit_inline_above_cost", real(-1, kAny)),
    row("jit_optimize_above_cost", real(-1, kAny)),
    row("jit_tuple_deforming", boolean()),
    row("join_collapse_limit", integer(1, kMost)),
    row("min_parallel_index_scan_size", integer(0, 715827882, Unit::blocks)),
    row("min_parallel_table_scan_size", integer(0, 715827882, Unit::blocks)),
    row("parallel_setup_cost", real(0, kAny)),
    row("parallel_tuple_cost", real(0, kAny)),
    row("plan_cache_mode", one_of("auto|force_generic_plan|force_custom_plan")),
    row("random_page_cost", real(0, kAny)),
    row("recursive_worktable_factor", real(0.001, 1e6)),
    row("seq_page_cost", real(0, kAny)),
    // Sessions.
    row("array_nulls", boolean()),
    row("backslash_quote", one_of("safe_encoding|on|off")),
    row("bytea_output", one_of("escape|hex")),
    row("check_function_bodies", boolean()),
    row("client_min_messages",
        one_of("debug5|debug4|debug3|debug2|debug1|log|notice|warning|error")),
    row("default_toast_compression", one_of("pglz|lz4")),
    row("default_transaction_deferrable", boolean()),
    row("default_transaction_isolation",
        one_of("serializable|repeatable read|read committed|read uncommitted")),
    row("default_transaction_read_only", boolean()),
    row("escape_string_warning", boolean()),
    row("extra_float_digits", integer(-15, 3)),
    row("gin_fuzzy_search_limit", integer(0, kMost)),
    row("gin_pending_list_limit", integer(64, kMost, Unit::kilobytes)),
    row("intervalstyle", one_of("postgres|postgres_verbose|sql_standard|iso_8601")),
    row("quote_all_identifiers", boolean()),
    row("row_security", boolean()),
    row("standard_conforming_strings", boolean()),
    row("transform_null_equals", boolean()),
    row("xmlbinary", one_of("base64|hex")),
    row("xmloption", one_of("content|document")),
    // Statistics and the log.
    row("compute_query_id", one_of("auto|regress|on|off")),
    row("log_autovacuum_min_duration", integer(-1, kMost, Unit::milliseconds)),
    row("log_checkpoints", boolean()),
    row("log_lock_waits", boolean()),
    row("log_temp_files", integer(-1, kMost, Unit::kilobytes)),
    row("stats_fetch_consistency", one_of("none|cache|snapshot")),
    row("track_activity_query_size", integer(100, 65536, Unit::bytes)),
    row("track_functions", one_of("none|pl|all")),
    row("track_io_timing", boolean()),
    row("track_wal_io_timing", boolean()),
    // Libraries that Postgres brings.
    row("shared_preload_libraries", libraries(preload_library_names())),
    row("auto_explain.log_analyze", boolean()),
    row("auto_explain.log_buffers", boolean()),
    row("auto_explain.log_format", one_of("text|xml|json|yaml")),
    row("auto_explain.log_level",
        one_of("debug5|debug4|debug3|debug2|debug1|info|notice|warning|log")),
    row("auto_explain.log_min_duration", integer(-1, kMost, Unit::milliseconds)),
    row("auto_explain.log_nested_statements", boolean()),
    row("auto_explain.log_settings", boolean()),
    row("auto_explain.log_timing", boolean()),
    row("auto_explain.log_triggers", boolean()),
    row("auto_explain.log_verbose", boolean()),
    row("auto_explain.log_wal", boolean()),
    row("auto_explain.sample_rate", real(0, 1)),
    row("cron.database_name", object_name()),
    row("pg_prewarm.autoprewarm", boolean()),
    row("pg_prewarm.autoprewarm_interval", integer(0, 2147483, Unit::seconds)),
    row("pg_stat_statements.max", integer(100, 100000)),
    row("pg_stat_statements.save", boolean()),
    row("pg_stat_statements.track", one_of("none|top|all")),
    row("pg_stat_statements.track_planning", boolean()),
    row("pg_stat_statements.track_utility", boolean()),
};

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

bool is_among(std::string_view choices, std::string_view word) {
  const std::vector<std::string_view> all = parts_of(choices, '|');
  return std::find(all.begin(), all.end(), word) != all.end();
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

bool are_libraries(std::string_view choices, std::string_view list) {
  if (trimmed(list).empty()) return true;
  const std::vector<std::string_view> names = parts_of(list, ',');
  return std::all_of(names.begin(), names.end(),
                     [&](std::string_view name) { return is_among(choices, trimmed(name)); });
}

std::string listed(std::string_view choices) {
  std::string list;
  for (std::string_view choice : parts_of(choices, '|'))
    list += (list.empty() ? "" : ", ") + std::string(choice);
  return list;
}

const AllowedSetting* find(const std::string& name) {
  const std::string wanted = setting::lower(name);
  for (const AllowedSetting& allowed : kAllowed)
    if (allowed.name == wanted) return &allowed;
  return nullptr;
}

// Why this may not be set; nullopt if it may.
std::optional<std::string> problem_of(const std::string& name, const std::string& value) {
  const AllowedSetting* allowed = find(name);
  if (allowed == nullptr)
    return "is not a setting that an endpoint may have; those of sessions are set by ALTER ROLE "
           "or ALTER DATABASE ... SET";
  if (!allowed->takes(value)) return fmt::format("must be {}, not \"{}\"", allowed->range(), value);
  return std::nullopt;
}

// The lock tables are shared memory: `name` for each of the sessions there can be.
struct LockTable {
  const char* name;
  int otherwise;  // As in compute/agent/settings.cc, and Postgres' own.
};
constexpr LockTable kLockTables[] = {{"max_locks_per_transaction", 64},
                                     {"max_pred_locks_per_transaction", 64}};
constexpr int64_t kMostLocks = 1'000'000;

int64_t number_or(const SettingValues& values, const char* name, int otherwise) {
  auto found = values.find(name);
  if (found == values.end()) return otherwise;
  return setting::parse_integer(found->second, Unit::none).value_or(otherwise);
}

// Of the tables that would be too large, the setting's name and why.
SettingValues too_large_together(const SettingValues& values) {
  SettingValues problems;
  const int64_t sessions =
      number_or(values, "max_connections", 100) + number_or(values, "max_prepared_transactions", 0);
  for (auto [name, otherwise] : kLockTables)
    if (number_or(values, name, otherwise) * sessions > kMostLocks)
      problems[name] = fmt::format(
          "times max_connections and max_prepared_transactions together must not be more than {}",
          kMostLocks);
  return problems;
}

}  // namespace

bool AllowedSetting::takes(const std::string& value) const {
  switch (kind) {
    case Kind::boolean:
      return setting::parse_bool(value).has_value();
    case Kind::integer: {
      std::optional<int> number = setting::parse_integer(value, unit);
      return number && *number >= least && *number <= most;
    }
    case Kind::real: {
      std::optional<double> number = setting::parse_real(value, unit);
      return number && *number >= least && *number <= most;
    }
    case Kind::choice:
      return is_among(choices, setting::lower(value));
    case Kind::libraries:
      return are_libraries(choices, value);
    case Kind::name:
      return !value.empty() && value.size() < 64 && std::ranges::none_of(value, is_control);
  }
  return false;
}

std::string AllowedSetting::range() const {
  switch (kind) {
    case Kind::boolean:
      return "on or off";
    case Kind::choice:
      return "one of " + listed(choices);
    case Kind::libraries:
      return "a list of " + listed(choices);
    case Kind::name:
      return "a name of 1 to 63 bytes";
    case Kind::integer:
    case Kind::real:
      break;
  }
  std::string text = kind == Kind::integer ? "a whole number" : "a number";
  text += " from " + setting::format_number(least, unit);
  return most == kAny ? text + " on" : text + " to " + setting::format_number(most, unit);
}

std::span<const AllowedSetting> allowed_settings() { return kAllowed; }

void check_settings(const SettingValues& settings) {
  SettingsInForce checked = settings_in_force(settings);
  if (checked.ignored.empty()) return;
  const auto& [name, reason] = *checked.ignored.begin();
  throw Error(Errc::invalid_argument, "pg_settings.{} {}", name, reason);
}

SettingsInForce settings_in_force(const SettingValues& stored) {
  SettingsInForce out;
  for (const auto& [name, value] : stored) {
    if (std::optional<std::string> problem = problem_of(name, value))
      out.ignored[name] = *problem;
    else if (!out.values.emplace(setting::lower(name), value).second)
      out.ignored[name] = "is there twice";
  }
  for (const auto& [name, reason] : too_large_together(out.values)) {
    out.values.erase(name);
    out.ignored[name] = reason;
  }
  return out;
}

}  // namespace halogen::control
