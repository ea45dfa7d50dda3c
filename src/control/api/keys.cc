// The keys of the catalog's passwords: which there are, and changing them.
#include <nlohmann/json.hpp>

#include "control/api/http.h"

namespace halogen::control::api {

using nlohmann::json;

Response list_keys(Services& services, const Request&) {
  json listed = json::array();
  for (const KeyUse& key : services.catalog.password_keys())
    listed.push_back({{"id", key.id}, {"newest", key.newest}, {"passwords", key.passwords}});
  return json_response(200, {{"keys", std::move(listed)}});
}

Response rotate_keys(Services& services, const Request& request) {
  services.catalog.rotate_password_keys();
  return list_keys(services, request);
}

Response drop_older_keys(Services& services, const Request& request) {
  services.catalog.drop_older_password_keys();
  return list_keys(services, request);
}

}  // namespace halogen::control::api
