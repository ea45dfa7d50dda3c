// allowed_settings.h: the settings of Postgres that an endpoint may have, and their ranges. Pure.
//
// What is not in the table is the platform's (what a commit waits for, slots, sockets, files), a
// program that would run at the next start, or a setting of sessions whose text only a server can
// check: those have ALTER ROLE and ALTER DATABASE ... SET. A value in range never keeps a server
// from starting. All of them count from a compute's next start on.
#pragma once
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "postgres/setting_value.h"

namespace halogen::control {

struct AllowedSetting {
  enum class Kind { boolean, integer, real, choice, libraries, name };

  std::string_view name;
  Kind kind;
  setting::Unit unit;
  double least, most;        // Of integers and real numbers.
  std::string_view choices;  // Of choices and libraries, with '|' between.

  bool takes(const std::string& value) const;
  // For people: "a whole number from 64kB to 2147483647kB".
  std::string range() const;
};

std::span<const AllowedSetting> allowed_settings();

using SettingValues = std::map<std::string, std::string>;  // By name, in any case.

// Throws invalid_argument, with the setting's name and range, unless all of these may be set.
void check_settings(const SettingValues& settings);

// What of the settings that are stored counts: an older release took some that are not allowed.
struct SettingsInForce {
  SettingValues values;
  SettingValues ignored;  // The reasons, by name.
};
SettingsInForce settings_in_force(const SettingValues& stored);

}  // namespace halogen::control
