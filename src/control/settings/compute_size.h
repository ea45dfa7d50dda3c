// compute_size.h: what a compute's size, in compute units of Neon's (a quarter is the least), means
// for the settings that Postgres starts with. Pure.
#pragma once
#include "control/settings/allowed_settings.h"

namespace halogen::control {

// Of a compute of so many units at most, where `chosen`, which its endpoint has set, says nothing.
// The least size has Postgres' and our defaults.
SettingValues settings_of_size(double units, const SettingValues& chosen);

}  // namespace halogen::control
