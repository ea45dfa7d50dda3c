// requests.h: parts of requests that several resources have.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "control/api/http.h"

namespace halogen::control::api {

// The organization that a request is about: the one it names, the key's, or the only one there is.
// ApiError(400) if there are several to choose from; not_found for one that is not the key's.
std::string chosen_organization(Services& services, const Request& request,
                                const std::string& named);

// A point in the past by LSN or time; neither: the head. Empty texts count as absent.
WantedMoment moment_in(const nlohmann::json& object, const char* lsn_key, const char* time_key);
// The same of a query.
WantedMoment moment_in(const Request& request, const char* lsn_key, const char* time_key);
// A time under this key. Absent, null or empty: none.
std::optional<Micros> time_in(const nlohmann::json& object, const char* key);

// What a request says of an endpoint that is to be.
EndpointRequest endpoint_request(Services& services, const nlohmann::json& wanted);
// Settings of an endpoint after a change: each part that is given takes the place of what was
// there.
nlohmann::json changed_settings(Services& services, const nlohmann::json& before,
                                const nlohmann::json& changes);
// Throws unless all of these may be set.
void checked_pg_settings(Services& services, const nlohmann::json& settings);

}  // namespace halogen::control::api
