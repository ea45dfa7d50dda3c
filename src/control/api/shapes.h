// shapes.h: our objects as the API's JSON objects, and those that a request's path names.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "control/api/http.h"

namespace halogen::control::api {

std::string rfc3339(Micros at);

nlohmann::json project_json(Services& services, const Project& project);
nlohmann::json branch_json(const Branch& branch);
// What is stored, in bytes: of files that are the branch's own, of these about how much is history
// that newer versions have superseded, of files of ancestors that it stands on.
nlohmann::json storage_json(const TimelineInfo& info);
// Of all of its branches, those that are not listed included.
nlohmann::json storage_json(Services& services, const Project& project);
nlohmann::json endpoint_json(Services& services, const Endpoint& endpoint);
nlohmann::json operation_json(const Operation& operation);
nlohmann::json operations_json(const std::vector<Operation>& operations);
nlohmann::json role_json(const Branch& branch, const StoredRole& role);
nlohmann::json database_json(const Branch& branch, const DatabaseRecord& database);
// Of a new branch, with the passwords we know.
nlohmann::json roles_json(Services& services, const Branch& branch, const Endpoint& endpoint);
nlohmann::json databases_json(Services& services, const Branch& branch);
// A one-element array, or an empty one if the branch has not exactly one database and password.
nlohmann::json connection_uris_json(Services& services, const Branch& branch,
                                    const Endpoint& endpoint);

// The branch or endpoint named in the path, if it belongs to the project named there.
Branch path_branch(Services& services, const Request& request);
Endpoint path_endpoint(Services& services, const Request& request);

}  // namespace halogen::control::api
