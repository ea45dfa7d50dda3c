// endpoint_settings.h: an endpoint's settings are one JSON object in the catalog: Postgres settings
// by name, the pooler's, by PgBouncer's names behind "pooler.", and "halogen.outgoing_traffic",
// which is true if its compute may make connections. Pure.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "control/settings/allowed_settings.h"
#include "protocol/endpoints.h"

namespace halogen::control {

// Of an endpoint's settings.
PoolSettings pool_settings(const nlohmann::json& settings);
nlohmann::json postgres_part(const nlohmann::json& settings);
nlohmann::json pooler_part(const nlohmann::json& settings);  // Names without the prefix.
bool outgoing_traffic(const nlohmann::json& settings);
// Those of Postgres as texts. Requires: joined_settings() made them.
SettingValues postgres_values(const nlohmann::json& settings);

// All parts as one object. invalid_argument, with the name, for what cannot be.
nlohmann::json joined_settings(const nlohmann::json& postgres, const nlohmann::json& pooler,
                               bool outgoing_traffic);

}  // namespace halogen::control
