// Who belongs to an organization, and who is invited to. Projects are shared with nobody else.
#include "control/members.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/names.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

json member_json(const Member& member) {
  return {{"id", member.id},
          {"user_id", member.user_id},
          {"org_id", member.org_id},
          {"role", member_role_name(member.role)},
          {"joined_at", rfc3339(member.joined_at)}};
}

json invitation_json(const Invitation& invitation) {
  return {{"id", invitation.id},
          {"email", invitation.email},
          {"org_id", invitation.org_id},
          {"invited_by", invitation.invited_by},
          {"invited_at", rfc3339(invitation.invited_at)},
          {"expires_at", rfc3339(invitation.expires_at)},
          {"role", member_role_name(invitation.role)}};
}

std::string organization_in(Services& services, const Request& request) {
  return services.accounts.organization(request.at("org_id")).id;
}

// In the order that is asked for.
void sort(std::vector<Member>& members, const std::string& by, bool ascending) {
  auto key = [&](const Member& member) {
    const std::string text = by == "email"  ? member.email
                             : by == "role" ? std::string(member_role_name(member.role))
                                            : "";
    return std::tuple(text, member.joined_at, member.id);
  };
  std::ranges::sort(members, [&](const Member& a, const Member& b) {
    return ascending ? key(a) < key(b) : key(b) < key(a);
  });
}

}  // namespace

Response list_members(Services& services, const Request& request) {
  std::vector<Member> all = services.members.members(organization_in(services, request));
  const std::string by = request.query_or("sort_by", "joined_at");
  const std::string order = request.query_or("sort_order", "desc");
  sort(all, by, order == "asc");
  const auto limit = static_cast<size_t>(request.query_number("limit", 500, 1, 500));
  const std::string cursor = request.query_or("cursor", "");
  auto first = cursor.empty() ? all.begin() : std::ranges::find(all, cursor, &Member::id);
  if (first == all.end() && !cursor.empty())
    throw Error(Errc::invalid_argument, "cursor is none that a list of members gave");
  json listed = json::array();
  for (; first != all.end() && listed.size() < limit; ++first)
    listed.push_back(
        {{"member", member_json(*first)}, {"user", {{"email", first->email}, {"has_mfa", false}}}});
  json pagination = {{"sort_by", by}, {"sort_order", order}};
  if (first != all.end()) pagination["next"] = first->id;
  return json_response(200, {{"members", std::move(listed)}, {"pagination", pagination}});
}

Response get_member(Services& services, const Request& request) {
  return json_response(200, member_json(services.members.member(organization_in(services, request),
                                                                request.at("member_id"))));
}

Response update_member(Services& services, const Request& request) {
  const MemberRole role = parse_member_role(text_or(request.body_json(), "role", ""));
  return json_response(200,
                       member_json(services.members.set_role(organization_in(services, request),
                                                             request.at("member_id"), role)));
}

Response remove_member(Services& services, const Request& request) {
  services.members.remove(organization_in(services, request), request.at("member_id"));
  return json_response(200, json::object());
}

Response list_invitations(Services& services, const Request& request) {
  json listed = json::array();
  for (const Invitation& one : services.members.invitations(organization_in(services, request)))
    listed.push_back(invitation_json(one));
  return json_response(200, {{"invitations", listed}});
}

// `token` is told this once: it is for the one who is invited, with accept_invitation(). All that
// are asked for are looked at before the first is made.
Response create_invitations(Services& services, const Request& request) {
  std::vector<Invitation> wanted;
  const json body = request.body_json();
  for (const json& one : body.at("invitations")) {
    Invitation invitation;
    invitation.org_id = organization_in(services, request);
    invitation.email = checked_address(text_or(one, "email", ""));
    invitation.role = parse_member_role(text_or(one, "role", ""));
    invitation.invited_by = request.principal.user_id;
    wanted.push_back(std::move(invitation));
  }
  json made = json::array();
  for (Invitation& invitation : wanted) {
    const std::string token = new_invitation_token();
    json shape = invitation_json(services.members.invite(std::move(invitation), token));
    shape["token"] = token;
    made.push_back(std::move(shape));
  }
  return json_response(200, {{"invitations", made}});
}

Response delete_invitation(Services& services, const Request& request) {
  services.members.withdraw(organization_in(services, request), request.at("invitation_id"));
  return json_response(200, json::object());
}

// For somebody without a key: the token is what counts. The key is told this once.
Response accept_invitation(Services& services, const Request& request) {
  const json body = request.body_json();
  const std::string key = new_api_key();
  const Member member =
      services.members.accept(text_or(body, "token", ""), text_or(body, "name", ""), key);
  return json_response(201, {{"member", member_json(member)}, {"api_key", key}});
}

Response list_permissions(Services& services, const Request& request) {
  path_project(services, request);
  return json_response(200, {{"project_permissions", json::array()}});
}

}  // namespace halogen::control::api
