// Who asks, and where: there is one user, the operator, one organization and one region.
#include <nlohmann/json.hpp>

#include "control/api/description/description.h"
#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json organization_json(const Organization& organization) {
  return {{"id", organization.id},
          {"name", organization.name},
          {"handle", organization.id},
          {"plan", "self-hosted"},
          {"managed_by", "console"},
          {"created_at", rfc3339(organization.created_at)},
          {"updated_at", rfc3339(organization.updated_at)}};
}

}  // namespace

Response get_description(Services&, const Request&) { return json_response(200, description()); }

Response get_auth(Services&, const Request& request) {
  const Principal& principal = request.principal;
  if (principal.kind == KeyKind::personal || principal.kind == KeyKind::member)
    return json_response(200, {{"account_id", principal.user_id}, {"auth_method", "api_key_user"}});
  json answer = {{"account_id", principal.org_id}, {"auth_method", "api_key_org"}};
  if (principal.kind == KeyKind::project) answer["auth_data"] = principal.project_id;
  return json_response(200, answer);
}

// Limits of 0: there is none, but that clients take a limit of projects for one.
Response get_current_user(Services& services, const Request& request) {
  constexpr int kAsManyAsFit = 1'000'000;
  const User user = services.accounts.user(request.principal.user_id);
  return json_response(200, {{"id", user.id},
                             {"login", user.email},
                             {"name", user.name},
                             {"last_name", ""},
                             {"email", user.email},
                             {"image", ""},
                             {"plan", "self-hosted"},
                             {"auth_accounts", json::array()},
                             {"active_seconds_limit", 0},
                             {"projects_limit", kAsManyAsFit},
                             {"branches_limit", kAsManyAsFit},
                             {"max_autoscaling_limit", 0}});
}

Response list_organizations(Services& services, const Request& request) {
  json listed = json::array();
  for (const Organization& organization : services.accounts.organizations())
    if (request.principal.org_id.empty() || organization.id == request.principal.org_id)
      listed.push_back(organization_json(organization));
  return json_response(200, {{"organizations", listed}});
}

Response get_organization(Services& services, const Request& request) {
  return json_response(200,
                       organization_json(services.accounts.organization(request.at("org_id"))));
}

Response list_regions(Services& services, const Request&) {
  return json_response(200, {{"regions", json::array({{{"region_id", services.region},
                                                       {"name", services.region},
                                                       {"default", true},
                                                       {"geo_lat", ""},
                                                       {"geo_long", ""}}})}});
}

// Projects are shared with nobody here.
Response list_shared_projects(Services&, const Request&) {
  return json_response(200, {{"projects", json::array()}});
}

}  // namespace halogen::control::api
