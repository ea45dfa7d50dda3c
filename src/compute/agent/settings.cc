#include "compute/agent/settings.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/error.h"
#include "postgres/setting_value.h"

namespace halogen::compute {
namespace {

// What keeps the compute a compute. Control has refused these and more (its allowed_settings.h);
// with that layer out they still are.
const std::set<std::string>& managed() {
  static const std::set<std::string> names = {
      "allow_system_table_mods",
      "config_file",
      "data_directory",
      "dynamic_library_path",
      "external_pid_file",
      "fsync",
      "full_page_writes",
      "hba_file",
      "ident_file",
      "ignore_checksum_failure",
      "ignore_system_indexes",
      "include",
      "include_dir",
      "include_if_exists",
      "listen_addresses",
      "log_destination",
      "logging_collector",
      "port",
      "primary_conninfo",
      "recovery_target",
      "restart_after_crash",
      "restore_command",
      "ssl",
      "synchronous_standby_names",
      "temp_file_limit",
      "unix_socket_directories",
      "unix_socket_group",
      "unix_socket_permissions",
      "wal_recycle",
      "wal_sync_method",
      "zero_damaged_pages",
  };
  return names;
}

// Stock defaults that pg_control repeats, so that the two agree; see recipe "boot at LSN".
const std::map<std::string, std::string>& control_defaults() {
  static const std::map<std::string, std::string> values = {
      {"max_connections", "100"},
      {"max_worker_processes", "8"},
      {"max_wal_senders", "10"},
      {"max_prepared_transactions", "64"},  // Two-phase commit works without being asked for.
      {"max_locks_per_transaction", "64"},
      {"track_commit_timestamp", "off"},
      {"wal_log_hints", "off"},
      {"wal_level", "replica"},
  };
  return values;
}

const std::map<std::string, std::string>& compute_defaults() {
  static const std::map<std::string, std::string> values = {
      {"full_page_writes", "off"},
      {"synchronous_commit", "on"},
      // Recovery from the local WAL would show commits that no quorum has acknowledged.
      {"restart_after_crash", "off"},
      {"wal_compression", "lz4"},
      {"max_replication_slots", "10"},
      // For the agent, whatever clients do.
      {"superuser_reserved_connections", "3"},
      // Checkpoints serve nobody here but bound pg_wal; the kernel may write back when it likes.
      {"checkpoint_timeout", "1h"},
      {"max_wal_size", "2GB"},
      {"checkpoint_flush_after", "0"},
      {"bgwriter_flush_after", "0"},
      {"wal_init_zero", "off"},
      // A suspend waits for what autovacuum has to do: it looks often.
      {"autovacuum_naptime", "15s"},
      // Postgres tries out that many descriptors at every start: 1,000 would take a wake a
      // millisecond.
      {"max_files_per_process", "256"},
      // A page that is absent is a round trip to storage: many are asked for at once.
      {"effective_io_concurrency", "100"},
      {"maintenance_io_concurrency", "100"},
      {"shared_buffers", "128MB"},
      // Cleared at every start, a page fault for each 4 KiB: the 4 MB it would be cost a wake more
      // than they save a load.
      {"wal_buffers", "1MB"},
      {"huge_pages", "off"},
      {"shared_preload_libraries", "halogen"},
      // Only through our own folder: the proxy is the door.
      {"listen_addresses", ""},
      {"port", "5432"},
      {"unix_socket_permissions", "0700"},
      {"ssl", "off"},
      {"log_destination", "stderr"},
      {"logging_collector", "off"},
      {"log_line_prefix", "%m [%p] %q%u@%d "},
      {"log_timezone", "UTC"},
      {"timezone", "UTC"},
      {"datestyle", "iso, mdy"},
      {"lc_messages", "C.UTF-8"},
      {"lc_monetary", "C.UTF-8"},
      {"lc_numeric", "C.UTF-8"},
      {"lc_time", "C.UTF-8"},
      {"default_text_search_config", "pg_catalog.english"},
  };
  return values;
}

const std::map<std::string, std::string>& wal_settings(WalPath path) {
  static const std::map<std::string, std::string> in_place = {
      {"fsync", "on"},
      {"wal_sync_method", "fdatasync"},
      {"synchronous_standby_names", ""},
      // Segments are the safekeeper's: none is made here, nor used twice.
      {"wal_recycle", "off"},
  };
  static const std::map<std::string, std::string> pull = {
      // Durability is the safekeepers'.
      {"fsync", "off"},
      {"synchronous_standby_names", std::string("ANY 1 (") + kStandbyName + ")"},
      // The safekeeper holds back what it misses by a slot; this is for before it has made it.
      {"wal_keep_size", "128MB"},
  };
  return path == WalPath::in_place ? in_place : pull;
}

// A session's temporary files, in bytes: they must not fill the disk that all share.
uint64_t temp_file_limit(uint64_t free_space) {
  constexpr uint64_t kLeast = 64 << 20;
  return std::max(kLeast, free_space / 4);
}

bool well_formed_name(std::string_view name) {
  auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed);
}

std::string quote_value(std::string_view value) {
  std::string out = "'";
  for (char c : value) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + "'";
}

}  // namespace

Settings::Settings(const Places& places, const std::map<std::string, std::string>& overrides)
    : values_(compute_defaults()) {
  values_.insert(control_defaults().begin(), control_defaults().end());
  values_.insert(wal_settings(places.wal).begin(), wal_settings(places.wal).end());
  values_["unix_socket_directories"] = places.socket_folder.string();
  values_["dynamic_library_path"] = places.library_folder.string() + ":$libdir";
  values_["temp_file_limit"] = fmt::format("{}kB", temp_file_limit(places.free_space) / 1024);
  for (const auto& [name, value] : overrides) apply(setting::lower(name), value);
  at_least("max_wal_senders", 5);
  at_least("superuser_reserved_connections", 3);
}

void Settings::apply(const std::string& name, const std::string& value) {
  if (!well_formed_name(name))
    throw Error(Errc::invalid_argument, "\"{}\" is not the name of a setting", name);
  if (value.find_first_of(std::string("\n\r\0", 3)) != std::string::npos)
    throw Error(Errc::invalid_argument, "setting {}: a value must be one line", name);
  if (managed().contains(name))
    throw Error(Errc::invalid_argument, "setting {} is managed by Halogen", name);
  if (name == "wal_level") {
    values_[name] = setting::lower(value);
    if (values_[name] != "replica" && values_[name] != "logical")
      throw Error(Errc::invalid_argument, "setting wal_level must be replica or logical");
    return;
  }
  if (name == "shared_preload_libraries") {
    values_[name] = value.empty() ? "halogen" : "halogen," + value;
    return;
  }
  values_[name] = value;
  if (control_defaults().contains(name)) {
    if (name == "track_commit_timestamp" || name == "wal_log_hints")
      get_bool(name);
    else
      get_int(name);
  }
}

const std::string& Settings::get(const std::string& name) const {
  auto found = values_.find(name);
  CHECK(found != values_.end(), "no setting {}", name);
  return found->second;
}

bool Settings::get_bool(const std::string& name) const {
  if (std::optional<bool> value = setting::parse_bool(get(name))) return *value;
  throw Error(Errc::invalid_argument, "setting {}: \"{}\" is neither on nor off", name, get(name));
}

int Settings::get_int(const std::string& name) const {
  std::optional<int> value = setting::parse_integer(get(name), setting::Unit::none);
  if (!value || *value < 0)
    throw Error(Errc::invalid_argument, "setting {}: \"{}\" is not a number", name, get(name));
  return *value;
}

void Settings::at_least(const std::string& name, int value) {
  if (get_int(name) < value) values_[name] = std::to_string(value);
}

std::string Settings::render() const {
  std::string out = "# Written by Halogen at every start.\n";
  for (const auto& [name, value] : values_) out += name + " = " + quote_value(value) + "\n";
  return out;
}

std::string Settings::hba() {
  return "# Before any of this counts, halogen.so asks for the secret of this start.\n"
         "local all all trust\n"
         "local replication all trust\n";
}

}  // namespace halogen::compute
