// Who asks, and where: whoever has the key of this platform is its operator, in one region.
#include <nlohmann/json.hpp>

#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

constexpr const char* kOperator = "operator";

}  // namespace

Response get_auth(Services&, const Request&) {
  return json_response(200, {{"account_id", kOperator}, {"auth_method", "api_key_user"}});
}

// Limits of 0: there is none.
Response get_current_user(Services&, const Request&) {
  return json_response(200, {{"id", kOperator},
                             {"login", kOperator},
                             {"name", kOperator},
                             {"last_name", ""},
                             {"email", "operator@localhost"},
                             {"image", ""},
                             {"plan", "self-hosted"},
                             {"auth_accounts", json::array()},
                             {"active_seconds_limit", 0},
                             {"projects_limit", 0},
                             {"branches_limit", 0},
                             {"max_autoscaling_limit", 0}});
}

Response list_organizations(Services&, const Request&) {
  return json_response(200, {{"organizations", json::array()}});
}

Response list_regions(Services& services, const Request&) {
  return json_response(200, {{"regions", json::array({{{"region_id", services.region},
                                                       {"name", services.region},
                                                       {"default", true},
                                                       {"geo_lat", ""},
                                                       {"geo_long", ""}}})}});
}

// Nobody else has projects here.
Response list_shared_projects(Services&, const Request&) {
  return json_response(200, {{"projects", json::array()}});
}

}  // namespace halogen::control::api
