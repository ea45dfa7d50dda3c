// project_settings.h: what of a project's settings (JSON, as the API takes them) has an effect
// here.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "control/settings/allow_list.h"

namespace halogen::control {

// The settings after a change: each member of `changes` takes the place of the one before, null
// removes it. `allowed_ips` is completed and checked. Throws invalid_argument.
nlohmann::json merged_settings(const std::string& before, const nlohmann::json& changes);
// Whether their allow list is for protected branches only.
bool only_protected_branches(const nlohmann::json& settings);
// Their allow list. Throws invalid_argument.
AllowList allow_list_of(const nlohmann::json& settings);

}  // namespace halogen::control
