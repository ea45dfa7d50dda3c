#include "control/api/description/description.h"
#include "control/api/description/operation.h"

namespace halogen::control::api::parts {

using namespace schema;  // NOLINT: the notation of this file.

namespace {

json user() {
  return object({required("id", text()), required("login", text()), required("email", text()),
                 required("name", text()), required("last_name", text()), required("image", text()),
                 required("plan", text()), required("projects_limit", whole()),
                 required("branches_limit", whole()), required("active_seconds_limit", whole()),
                 required("max_autoscaling_limit", number(0)),
                 required("auth_accounts", list(object({})))});
}

void add_keys(json& paths, const std::string& path, bool of_organization) {
  json wanted = object({required("key_name", text(64))});
  if (of_organization) wanted["properties"]["project_id"] = id();
  OperationDescription(paths, "GET", path, of_organization ? "listOrgApiKeys" : "listApiKeys",
                       "The API keys, without their secrets")
      .answers(200, list(ref("ApiKey")));
  OperationDescription(paths, "POST", path, of_organization ? "createOrgApiKey" : "createApiKey",
                       "Makes an API key; its secret is told this once")
      .body(wanted)
      .answers(200, object({required("id", whole()), required("key", text()),
                            required("name", text()), required("created_at", time()),
                            required("created_by", text()), optional("project_id", id())}));
  OperationDescription(paths, "DELETE", path + "/{key_id}",
                       of_organization ? "revokeOrgApiKey" : "revokeApiKey",
                       "Revokes an API key: from now on nobody is known by it")
      .answers(200, ref("ApiKey"));
}

json member() {
  return object({required("id", uuid()), required("user_id", uuid()), required("org_id", id()),
                 required("role", text()), optional("joined_at", time())});
}

json role() { return choice({"admin", "member", "editor", "viewer"}); }

json invitation() {
  return object({required("id", uuid()), required("email", text()), required("org_id", id()),
                 required("invited_by", uuid()), required("invited_at", time()),
                 optional("expires_at", time()), required("role", role()),
                 optional("token", text())});
}

void add_invitations(json& paths) {
  const std::string path = "/organizations/{org_id}/invitations";
  const json invitations = object({required("invitations", list(invitation()))});
  OperationDescription(paths, "GET", path, "getOrganizationInvitations",
                       "The invitations that can be accepted")
      .answers(200, invitations);
  OperationDescription(paths, "POST", path, "createOrganizationInvitations",
                       "Invites; each answer's token is for the one who is invited, told this once")
      .body(object(
          {required("invitations",
                    list(object({required("email", text(256)), required("role", role())}), 100))}))
      .answers(200, invitations);
  OperationDescription(paths, "DELETE", path + "/{invitation_id}", "deleteOrganizationInvitation",
                       "Takes an invitation back")
      .answers(200, object({}));
  OperationDescription(paths, "POST", "/invitations/accept", "acceptOrganizationInvitation",
                       "With an invitation's token, and without a key: makes its member and a "
                       "personal API key")
      .body(object({required("token", text(256)), optional("name", text(256))}))
      .answers(201, object({required("member", member()), required("api_key", text())}));
}

void add_members(json& paths) {
  const std::string path = "/organizations/{org_id}/members";
  OperationDescription(paths, "GET", path, "getOrganizationMembers", "Who belongs to it")
      .query({{"sort_by", choice({"email", "role", "joined_at"})},
              {"cursor", text()},
              {"sort_order", choice({"asc", "desc"})},
              {"limit", whole(1, 500)}})
      .answers(200, object({required(
                        "members",
                        list(object({required("member", member()),
                                     required("user", object({required("email", text()),
                                                              optional("has_mfa", flag())}))})))}));
  OperationDescription(paths, "GET", path + "/{member_id}", "getOrganizationMember", "One of them")
      .answers(200, member());
  OperationDescription(paths, "PATCH", path + "/{member_id}", "updateOrganizationMember",
                       "Gives a member another role")
      .body(object({required("role", role())}))
      .answers(200, member());
  OperationDescription(paths, "DELETE", path + "/{member_id}", "removeOrganizationMember",
                       "Removes a member, whose personal API keys are gone with that")
      .answers(200, object({}));
  OperationDescription(paths, "GET", "/projects/{project_id}/permissions", "listProjectPermissions",
                       "Whom it is shared with: nobody")
      .answers(200, object({required("project_permissions", list(object({})))}));
}

}  // namespace

void add_account_paths(json& paths) {
  OperationDescription(paths, "GET", "/auth", "getAuthDetails", "Whose key this is")
      .answers(200, object({required("account_id", text()), required("auth_method", text()),
                            optional("auth_data", text())}));
  OperationDescription(paths, "GET", "/users/me", "getCurrentUserInfo", "The user of this key")
      .answers(200, user());
  OperationDescription(paths, "GET", "/users/me/organizations", "getCurrentUserOrganizations",
                       "The organizations that this key reaches")
      .answers(200, object({required("organizations", list(ref("Organization")))}));
  OperationDescription(paths, "GET", "/organizations/{org_id}", "getOrganization",
                       "An organization")
      .answers(200, ref("Organization"));
  add_members(paths);
  add_invitations(paths);
  OperationDescription(paths, "GET", "/regions", "getActiveRegions", "The regions: there is one")
      .query({{"org_id", id()}})
      .answers(200,
               object({required(
                   "regions", list(object({required("region_id", text()), required("name", text()),
                                           required("default", flag()), required("geo_lat", text()),
                                           required("geo_long", text())})))}));
  OperationDescription(paths, "GET", "/openapi.json", "getDescription", "This document")
      .answers(200, object({}));
  add_keys(paths, "/api_keys", false);
  add_keys(paths, "/organizations/{org_id}/api_keys", true);
}

}  // namespace halogen::control::api::parts
