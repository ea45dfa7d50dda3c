// Who belongs to an organization: the operator, alone. Projects are shared with nobody.
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json member_json(const Organization& organization, const User& user) {
  return {{"id", user.id},
          {"user_id", user.id},
          {"org_id", organization.id},
          {"role", "admin"},
          {"joined_at", rfc3339(organization.created_at)}};
}

}  // namespace

Response list_members(Services& services, const Request& request) {
  const Organization organization = services.accounts.organization(request.at("org_id"));
  const User user = services.accounts.operator_user();
  json members = json::array({{{"member", member_json(organization, user)},
                               {"user", {{"email", user.email}, {"has_mfa", false}}}}});
  return json_response(200, {{"members", std::move(members)},
                             {"pagination", {{"sort_by", "joined_at"}, {"sort_order", "desc"}}}});
}

Response get_member(Services& services, const Request& request) {
  const Organization organization = services.accounts.organization(request.at("org_id"));
  const User user = services.accounts.operator_user();
  if (user.id != request.at("member_id")) throw Error(Errc::not_found, "member not found");
  return json_response(200, member_json(organization, user));
}

Response list_invitations(Services& services, const Request& request) {
  services.accounts.organization(request.at("org_id"));
  return json_response(200, {{"invitations", json::array()}});
}

Response list_permissions(Services& services, const Request& request) {
  path_project(services, request);
  return json_response(200, {{"project_permissions", json::array()}});
}

}  // namespace halogen::control::api
