// Each kind of principal against each route: who may, and what the others are told.
#include <algorithm>
#include <regex>
#include <span>

#include "control/api/api_fixture.h"

namespace halogen::control::api {
namespace {

constexpr const char* kUser = "not allowed for organization API keys";
constexpr const char* kOutside =
    "not allowed to perform actions outside the project this key is scoped to";
constexpr const char* kManaging = "not allowed for API keys that are scoped to a project";

class AuthorizationTest : public ApiTest {
 protected:
  AuthorizationTest() {
    const std::string user = accounts_->operator_user().id;
    org_ = accounts_->organizations()[0].id;
    project_ = make_project("mine")["project"]["id"];
    other_ = make_project("other")["project"]["id"];
    add({.name = "org", .kind = KeyKind::organization, .user_id = user, .org_id = org_});
    add({.name = "strange", .kind = KeyKind::organization, .user_id = user, .org_id = "org-x"});
    add({.name = "project",
         .kind = KeyKind::project,
         .user_id = user,
         .org_id = org_,
         .project_id = project_});
  }
  void add(ApiKey key) {
    const std::string secret = "napi_" + key.name;
    accounts_->add_key(std::move(key), secret);
  }

  // What is answered to a request for the route that changes nothing: ids that nothing has.
  httplib::Result ask(const Route& route, const std::string& key, const std::string& project) {
    std::string path = route.pattern;
    auto put = [&](const char* name, const std::string& value) {
      path = std::regex_replace(path, std::regex(name), value);
    };
    put(":project_id", project);
    put(":org_id", org_);
    put(":key_id", "999999");
    put(":timeline_id", std::string(32, '0'));
    put(":[a-z_]+", "none-such");
    httplib::Client client("127.0.0.1", server_->port());
    client.set_bearer_token_auth(key);
    const std::string method = route.method;
    // A body that no handler takes for one.
    if (method == "GET") return client.Get(path);
    if (method == "DELETE") return client.Delete(path);
    if (method == "PUT") return client.Put(path, "[]", "application/json");
    if (method == "PATCH") return client.Patch(path, "[]", "application/json");
    return client.Post(path, "[]", "application/json");
  }
  std::string refusal_of(const Route& route, const std::string& key, const std::string& project) {
    auto answer = ask(route, key, project);
    EXPECT_TRUE(answer) << route.method << " " << route.pattern;
    if (!answer || answer->status != 404) return "";
    json body = json::parse(answer->body, nullptr, false);
    return body.is_object() ? body.value("message", "") : "";
  }

  static bool is_of(const Route& route, std::initializer_list<const char*> patterns) {
    const std::string line = std::string(route.method) + " " + route.pattern;
    return std::ranges::any_of(patterns, [&](const char* one) { return line == one; });
  }
  static bool is_open(const Route& route) {
    return is_of(route, {"GET /healthz", "GET /api/v2/openapi.json", "GET /api/v2/console/session",
                         "POST /api/v2/console/session", "DELETE /api/v2/console/session",
                         "POST /api/v2/invitations/accept"});
  }
  static bool is_in_project(const Route& route) {
    return std::string_view(route.pattern).starts_with("/api/v2/projects/:project_id");
  }
  static bool is_for_anybody(const Route& route) {
    return is_of(route, {"GET /api/v2/auth", "GET /api/v2/users/me/organizations"});
  }
  // Of a person, or of the machine.
  static bool is_personal(const Route& route) {
    const std::string_view pattern = route.pattern;
    return !pattern.starts_with("/api/") || pattern.starts_with("/api/v2/api_keys") ||
           pattern.starts_with("/api/v2/console/") ||
           is_of(route,
                 {"GET /api/v2/users/me", "GET /api/v2/regions", "GET /api/v2/projects/shared"}) ||
           is_administration(route);
  }
  static bool is_administration(const Route& route) {
    return is_of(route, {"POST /api/v2/organizations/:org_id/api_keys",
                         "DELETE /api/v2/organizations/:org_id/api_keys/:key_id",
                         "PATCH /api/v2/organizations/:org_id/members/:member_id",
                         "DELETE /api/v2/organizations/:org_id/members/:member_id",
                         "POST /api/v2/organizations/:org_id/invitations",
                         "DELETE /api/v2/organizations/:org_id/invitations/:invitation_id"});
  }
  static bool is_of_the_platform(const Route& route) {
    const std::string_view pattern = route.pattern;
    return !pattern.starts_with("/api/") || pattern.starts_with("/api/v2/console/");
  }
  // What a member must be at least.
  static MemberRole role_for(const Route& route) {
    const std::string_view pattern = route.pattern;
    if (is_administration(route)) return MemberRole::admin;
    if (is_of(route, {"POST /api/v2/projects", "DELETE /api/v2/projects/:project_id"}))
      return MemberRole::member;
    if (!is_in_project(route)) return MemberRole::viewer;
    const bool reads = std::string_view(route.method) == "GET";
    const bool tells_password =
        pattern.ends_with("/connection_uri") || pattern.ends_with("/reveal_password");
    return reads && !tells_password ? MemberRole::viewer : MemberRole::editor;
  }
  // Whose key is napi_<role>.
  Member add_member(MemberRole role) {
    const std::string name(member_role_name(role));
    Invitation invitation{.org_id = org_, .email = name + "@example.com", .role = role};
    invitation.invited_by = accounts_->operator_user().id;
    members_->invite(invitation, "ninv_" + name);
    return members_->accept("ninv_" + name, name, "napi_" + name);
  }

  std::string org_;
  std::string project_;
  std::string other_;
};

TEST_F(AuthorizationTest, APersonalKeyReachesEveryRouteAndNoneIsOpenButThoseThatSaySo) {
  for (const Route& route : routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + route.pattern);
    if (is_open(route)) continue;
    if (is_of(route, {"DELETE /api/v2/projects/:project_id"})) continue;  // It would.
    EXPECT_EQ(ask(route, "napi_wrong", project_)->status, 401);
    EXPECT_EQ(ask(route, "", project_)->status, 401);
    EXPECT_NE(ask(route, "napi_test", project_)->status, 401);
    const std::string refused = refusal_of(route, "napi_test", project_);
    EXPECT_TRUE(refused != kUser && refused != kOutside && refused != kManaging) << refused;
  }
}

TEST_F(AuthorizationTest, AnOrganizationsKeyReachesItsProjectsAndNobodysPerson) {
  for (const Route& route : routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + route.pattern);
    if (is_open(route)) continue;
    if (is_of(route, {"DELETE /api/v2/projects/:project_id"})) continue;
    const std::string refused = refusal_of(route, "napi_org", project_);
    EXPECT_EQ(refused == kUser, is_personal(route)) << refused;
    if (is_in_project(route)) {
      EXPECT_NE(refused, "project not found");
      EXPECT_EQ(refusal_of(route, "napi_strange", project_), "project not found");
    }
  }
}

TEST_F(AuthorizationTest, AProjectsKeyReachesThatProjectAndCannotDeleteIt) {
  for (const Route& route : routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + route.pattern);
    if (is_open(route)) continue;
    const std::string refused = refusal_of(route, "napi_project", project_);
    if (is_of(route, {"DELETE /api/v2/projects/:project_id"})) {
      EXPECT_EQ(refused, kManaging);
    } else if (is_in_project(route) || is_for_anybody(route)) {
      EXPECT_TRUE(refused != kOutside && refused != kManaging) << refused;
    } else {
      EXPECT_EQ(refused, kOutside);
    }
    if (is_in_project(route)) EXPECT_EQ(refusal_of(route, "napi_project", other_), kOutside);
  }
}

TEST_F(AuthorizationTest, AMemberReachesWhatTheRoleAllows) {
  using enum MemberRole;
  for (MemberRole role : {viewer, editor, member, admin}) {
    add_member(role);
    const std::string name(member_role_name(role));
    for (const Route& route : routes()) {
      SCOPED_TRACE(fmt::format("{}: {} {}", name, route.method, route.pattern));
      const bool may = role >= role_for(route);
      if (is_open(route)) continue;
      if (may && is_of(route, {"DELETE /api/v2/projects/:project_id"})) continue;  // It would.
      const std::string refused = refusal_of(route, "napi_" + name, project_);
      if (is_of_the_platform(route))
        EXPECT_EQ(refused, "not allowed for members of an organization");
      else
        EXPECT_EQ(refused == "not allowed for the role " + name + " in this organization", !may)
            << refused;
    }
  }
  const Principal stranger{.kind = KeyKind::member, .org_id = "org-x", .role = admin};
  for (Object::Kind kind : {Object::Kind::organization, Object::Kind::projects,
                            Object::Kind::project, Object::Kind::platform})
    EXPECT_THROW(authorize(stranger, {.kind = kind, .org_id = org_}, Verb::view), Error);
}

TEST_F(AuthorizationTest, ARoleCountsAtOnceAndARemovedMembersKeysAreGone) {
  const std::string members = "/organizations/" + org_ + "/members/";
  const Member one = add_member(MemberRole::viewer);
  client_->set_bearer_token_auth("napi_viewer");
  EXPECT_EQ(get("/api/v2/projects")["projects"].size(), 2u);
  EXPECT_EQ(get("/api/v2/users/me")["email"], "viewer@example.com");
  EXPECT_EQ(get("/api/v2/auth")["account_id"], one.user_id);
  EXPECT_EQ(get("/api/v2/users/me/organizations")["organizations"].size(), 1u);
  post("/projects", {{"project", json::object()}}, 404);
  patch(members + one.id, {{"role", "admin"}}, 404);
  client_->set_bearer_token_auth("napi_test");
  patch(members + one.id, {{"role", "collaborator"}}, 400);
  EXPECT_EQ(patch(members + one.id, {{"role", "admin"}})["role"], "admin");
  client_->set_bearer_token_auth("napi_viewer");
  const json second = post("/api_keys", {{"key_name", "mine"}}, 200);
  const std::string operators = accounts_->operator_user().id;
  drop(members + operators, 422);
  patch(members + operators, {{"role", "viewer"}}, 422);
  drop(members + one.id);
  get("/api/v2/projects", 401);
  client_->set_bearer_token_auth(second["key"].get<std::string>());
  get("/api/v2/projects", 401);
  client_->set_bearer_token_auth("napi_test");
  EXPECT_EQ(get("/api/v2/organizations/" + org_ + "/members")["members"].size(), 1u);
}

TEST_F(AuthorizationTest, AnInvitationIsAcceptedOnceByWhoeverHasItsToken) {
  const std::string path = "/organizations/" + org_ + "/invitations";
  auto invite = [&](const json& email, int status = 200) {
    return post(path, {{"invitations", {{{"email", email}, {"role", "editor"}}}}}, status);
  };
  for (const char* wrong : {"nobody", "@x", "a@", "a b@c", "a@b@c"}) invite(wrong, 400);
  invite(7, 400);
  invite("operator@localhost", 409);
  json first = invite("New@Example.com")["invitations"][0];
  EXPECT_EQ(first["email"], "new@example.com");
  json second = invite("new@example.com")["invitations"][0];
  json listed = get("/api/v2" + path)["invitations"];
  ASSERT_EQ(listed.size(), 1u) << "the second took the place of the first";
  EXPECT_FALSE(listed[0].contains("token"));
  client_->set_bearer_token_auth("");
  auto accept = [&](const json& token, int status) {
    return post("/invitations/accept", {{"token", token}, {"name", "New"}}, status);
  };
  accept(first["token"], 404);
  accept("", 404);
  accept(7, 400);
  json accepted = accept(second["token"], 201);
  EXPECT_EQ(accepted["member"]["role"], "editor");
  accept(second["token"], 404);
  client_->set_bearer_token_auth(accepted["api_key"].get<std::string>());
  EXPECT_EQ(get("/api/v2/users/me")["name"], "New");
  patch("/projects/" + project_, {{"project", {{"name", "renamed"}}}});
  client_->set_bearer_token_auth("napi_test");
  EXPECT_EQ(get("/api/v2" + path)["invitations"], json::array());
  invite("new@example.com", 409);
  json third = invite("third@example.com")["invitations"][0];
  drop(path + "/" + third["id"].get<std::string>());
  accept(third["token"], 404);
  const std::string text = read_file(folder_ / "audit.log");
  EXPECT_EQ(text.find("ninv_"), std::string::npos);
  EXPECT_NE(text.find("/invitations/accept"), std::string::npos);
}

TEST_F(AuthorizationTest, AnOrganizationsKeyListsAndMakesProjectsOfItsOwnOnly) {
  client_->set_bearer_token_auth("napi_strange");
  get("/api/v2/projects?org_id=" + org_, 404);
  post("/projects", {{"project", {{"org_id", org_}}}}, 404);
  EXPECT_EQ(get("/api/v2/users/me/organizations")["organizations"], json::array());
  client_->set_bearer_token_auth("napi_org");
  EXPECT_EQ(get("/api/v2/projects")["projects"].size(), 2u);
  EXPECT_EQ(post("/projects", {{"project", json::object()}}, 201)["project"]["org_id"], org_);
}

TEST_F(AuthorizationTest, ARevokedKeyIsRefusedAtOnce) {
  const json key = post("/api_keys", {{"key_name", "ci"}}, 200);
  client_->set_bearer_token_auth(key["key"].get<std::string>());
  get("/api/v2/projects");
  EXPECT_EQ(drop("/api_keys/" + key["id"].dump())["revoked"], true);
  get("/api/v2/projects", 401);
}

TEST_F(AuthorizationTest, ChangesAndSecretsThatAreShownAreInTheAuditLog) {
  client_->set_bearer_token_auth("napi_project");
  const std::string base = "/projects/" + project_;
  get("/api/v2" + base);
  patch(base, {{"project", {{"name", "secret name"}}}});
  drop(base, 404);
  get("/api/v2" + base + "/connection_uri");
  const std::string text = read_file(folder_ / "audit.log");
  std::vector<json> lines;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    lines.push_back(json::parse(text.substr(at, text.find('\n', at) - at)));
  ASSERT_GE(lines.size(), 3u);
  std::span<const json> last(lines.end() - 3, lines.end());
  EXPECT_EQ(last[0]["method"], "PATCH");
  EXPECT_EQ(last[0]["status"], 200);
  EXPECT_EQ(last[0]["path"], "/api/v2" + base);
  EXPECT_EQ(last[0]["key_project_id"], project_);
  EXPECT_EQ(last[0]["from"], "127.0.0.1");
  EXPECT_EQ(last[1]["method"], "DELETE");
  EXPECT_EQ(last[1]["status"], 404);
  EXPECT_EQ(last[2]["path"], "/api/v2" + base + "/connection_uri");
  EXPECT_EQ(text.find("secret name"), std::string::npos) << "bodies are not noted";
  EXPECT_EQ(text.find("napi_"), std::string::npos);
}

TEST_F(AuthorizationTest, TooManyRequestsOfOneKeyAreToldWhenToComeAgain) {
  services_->requests_per_second = 2;
  Server server("127.0.0.1", 0);
  server.start(*services_);
  auto status = [&](const std::string& key) {
    httplib::Client client("127.0.0.1", server.port());
    client.set_bearer_token_auth(key);
    auto answer = client.Get("/api/v2/projects");
    if (answer->status == 429) EXPECT_EQ(answer->get_header_value("Retry-After"), "1");
    return answer->status;
  };
  std::map<int, int> seen;
  for (int i = 0; i < 20; ++i) ++seen[status("napi_test")];
  EXPECT_GE(seen[200], 4);
  EXPECT_GT(seen[429], 0);
  EXPECT_EQ(status("napi_org"), 200) << "another key";
  server.stop();
}

}  // namespace
}  // namespace halogen::control::api
