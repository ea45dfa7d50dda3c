#include "control/settings/endpoint_settings.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace halogen::control {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::string_view kPrefix = "pooler.";
constexpr const char* kOutgoingTraffic = "halogen.outgoing_traffic";

bool is_postgres(std::string_view name) {
  return !name.starts_with(kPrefix) && name != kOutgoingTraffic;
}

// One of the settings: whole numbers, times in seconds.
struct Known {
  std::string_view name;
  int64_t most;
  void (*set)(PoolSettings&, int64_t);
};

constexpr int64_t kMostConnections = 10'000;
constexpr int64_t kMostSeconds = 7 * 86'400;

constexpr Known kKnown[] = {
    {"default_pool_size", kMostConnections,
     [](PoolSettings& s, int64_t n) { s.pool_size = static_cast<int>(n); }},
    {"min_pool_size", kMostConnections,
     [](PoolSettings& s, int64_t n) { s.min_pool_size = static_cast<int>(n); }},
    {"query_wait_timeout", kMostSeconds,
     [](PoolSettings& s, int64_t n) { s.query_wait_timeout = milliseconds(n * 1000); }},
    {"server_idle_timeout", kMostSeconds,
     [](PoolSettings& s, int64_t n) { s.server_idle_timeout = milliseconds(n * 1000); }},
    {"server_lifetime", kMostSeconds,
     [](PoolSettings& s, int64_t n) { s.server_lifetime = milliseconds(n * 1000); }},
    {"pinned_idle_timeout", kMostSeconds,
     [](PoolSettings& s, int64_t n) { s.pinned_idle_timeout = milliseconds(n * 1000); }},
};

const Known* find_known(std::string_view name) {
  for (const Known& known : kKnown)
    if (known.name == name) return &known;
  return nullptr;
}

std::optional<int64_t> number_of(const json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

PoolSettings pool_settings(const json& settings) {
  PoolSettings out;
  const json pooler = pooler_part(settings);
  for (auto& [name, value] : pooler.items()) {
    const Known* known = find_known(name);
    std::optional<int64_t> number = number_of(value);
    if (known != nullptr && number) known->set(out, *number);
  }
  return out;
}

json postgres_part(const json& settings) {
  json part = json::object();
  for (auto& [name, value] : settings.items())
    if (is_postgres(name)) part[name] = value;
  return part;
}

SettingValues postgres_values(const json& settings) {
  SettingValues values;
  const json part = postgres_part(settings);
  for (auto& [name, value] : part.items())
    values[name] = value.is_string() ? value.get<std::string>() : value.dump();
  return values;
}

json pooler_part(const json& settings) {
  json part = json::object();
  for (auto& [name, value] : settings.items())
    if (name.starts_with(kPrefix)) part[name.substr(kPrefix.size())] = value;
  return part;
}

bool outgoing_traffic(const json& settings) {
  return settings.value(kOutgoingTraffic, json(false)) == true;
}

json joined_settings(const json& postgres, const json& pooler, bool outgoing_traffic) {
  json joined = json::object();
  for (auto& [name, value] : postgres.items()) {
    if (!value.is_string() && !value.is_number() && !value.is_boolean())
      throw Error(Errc::invalid_argument, "pg_settings.{} must be a string", name);
    if (!is_postgres(name))
      throw Error(Errc::invalid_argument, "pg_settings.{}: no such setting", name);
    joined[name] = value;
  }
  for (auto& [name, value] : pooler.items()) {
    const Known* known = find_known(name);
    if (known == nullptr)
      throw Error(Errc::invalid_argument, "pgbouncer_settings.{}: no such setting", name);
    std::optional<int64_t> number = number_of(value);
    if (!number || *number < 0 || *number > known->most)
      throw Error(Errc::invalid_argument,
                  "pgbouncer_settings.{} must be a whole number between 0 and {}", name,
                  known->most);
    joined[std::string(kPrefix) + name] = value;
  }
  if (outgoing_traffic) joined[kOutgoingTraffic] = true;
  return joined;
}

}  // namespace halogen::control
