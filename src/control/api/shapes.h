// shapes.h: our objects as the API's JSON objects, and those that a request's path names.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "control/api/http.h"

namespace halogen::control::api {

std::string rfc3339(Micros at);

// What the project's own page tells; lists tell a little less, and some more of deleted ones.
nlohmann::json project_json(Services& services, const Project& project);
nlohmann::json project_item_json(Services& services, const Project& project);
nlohmann::json branch_json(Services& services, const Branch& branch);
// What is stored, in bytes: of files that are the branch's own, of these about how much is history
// that newer versions have superseded, of files of ancestors that it stands on.
nlohmann::json storage_json(const TimelineInfo& info);
// Of all of its branches, those that are not listed included.
nlohmann::json storage_json(Services& services, const Project& project);
nlohmann::json annotation_json(const std::string& branch_id, const Annotation& annotation);
nlohmann::json endpoint_json(Services& services, const Endpoint& endpoint);
// Of those that were asked for, without looks at the past.
nlohmann::json endpoints_json(Services& services, const std::vector<Endpoint>& endpoints);
nlohmann::json operation_json(const Operation& operation);
nlohmann::json operations_json(const std::vector<Operation>& operations);
nlohmann::json role_json(const Branch& branch, const StoredRole& role,
                         const std::optional<RoleTimes>& times);
nlohmann::json database_json(const Branch& branch, const DatabaseRecord& database);
// Of a new branch, with the passwords we know.
nlohmann::json roles_json(Services& services, const Branch& branch, const Endpoint& endpoint);
nlohmann::json databases_json(Services& services, const Branch& branch);
// A one-element array, or an empty one if the branch has no endpoint that was asked for, or not
// exactly one database and one role whose password we know.
nlohmann::json connection_uris_json(Services& services, const Branch& branch,
                                    const Endpoint& endpoint);

// What the path names. not_found for what is deleted or belongs to another project.
Project path_project(Services& services, const Request& request);
Branch path_branch(Services& services, const Request& request);
Endpoint path_endpoint(Services& services, const Request& request);
// That branch's, for its users. not_found without one.
Endpoint read_write_endpoint(Services& services, const Branch& branch);

}  // namespace halogen::control::api
