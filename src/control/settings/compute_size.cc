#include "control/settings/compute_size.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace halogen::control {
namespace {

constexpr double kLeastUnits = 0.25;
// Of the least size: compute/agent/settings.cc, and Postgres' own.
constexpr int kConnections = 100;
constexpr int kSharedMegabytes = 128;
constexpr int kMaintenanceMegabytes = 64;

// In proportion, up to what one compute among others may have.
int scaled(int of_least, double factor, int most) {
  return static_cast<int>(std::min(std::floor(of_least * factor), static_cast<double>(most)));
}

}  // namespace

SettingValues settings_of_size(double units, const SettingValues& chosen) {
  SettingValues values;
  const double factor = units / kLeastUnits;
  if (!(factor > 1)) return values;
  values["shared_buffers"] = fmt::format("{}MB", scaled(kSharedMegabytes, factor, 1024));
  values["maintenance_work_mem"] = fmt::format("{}MB", scaled(kMaintenanceMegabytes, factor, 1024));
  // Locks that were chosen are in memory for each connection that was chosen with them.
  if (!chosen.contains("max_locks_per_transaction") &&
      !chosen.contains("max_pred_locks_per_transaction"))
    values["max_connections"] = std::to_string(scaled(kConnections, factor, 1000));
  for (const auto& [name, value] : chosen) values.erase(name);
  return values;
}

}  // namespace halogen::control
