// The API over a real port, with storage and computes faked.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <future>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "control/api/api_fixture.h"
#include "control/api/console.h"
#include "control/names.h"
#include "control/reconcile.h"
#include "control/settings/allowed_settings.h"
#include "control/timestamp.h"
#include "postgres/scram.h"
#include "protocol/storage_contract.h"

namespace halogen::control::api {
namespace {

// Says what no library would.
class RawClient {
 public:
  explicit RawClient(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void send(const std::string& text) {
    EXPECT_EQ(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // All up to where the server closes.
  std::string answer() {
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = ::recv(fd_.get(), buffer, sizeof buffer, 0)) > 0;)
      text.append(buffer, static_cast<size_t>(got));
    return text;
  }

 private:
  UniqueFd fd_;
};

TEST_F(ApiTest, WithoutAKnownKeyNothingIsTold) {
  client_->set_bearer_token_auth("napi_wrong");
  json error = get("/api/v2/projects", 401);
  EXPECT_EQ(error["message"], "supplied credentials do not pass authentication");
  EXPECT_EQ(error["code"], "");
  EXPECT_FALSE(error["request_id"].get<std::string>().empty());
  get("/status", 401);
  get("/healthz", 200);
  get("/metrics", 401);
  services_->open_metrics = true;
  EXPECT_EQ(client_->Get("/metrics")->status, 200);
}

// What comes through it is told back to the client, and the connection closed.
class EchoDoor : public SqlDoor {
 public:
  ssl_st* begin_tls(int) override { return nullptr; }
  void take_in(UniqueFd socket, ssl_st*, std::string heard) override {
    std::string text = "heard " + heard;
    EXPECT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    ::shutdown(socket.get(), SHUT_WR);
  }
};

TEST_F(ApiTest, WhatAsksForSqlIsHandedOnAsItCame) {
  EchoDoor door;
  services_->sql_door = &door;
  Server server("127.0.0.1", 0);
  server.start(*services_);
  const std::string post =
      "POST /sql?a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:  y\r\n\r\n2\r\nab";
  const std::string upgrade = "GET /v2 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
  for (const std::string& request : {post, upgrade, std::string("OPTIONS /sql HTTP/1.1\r\n\r\n")}) {
    RawClient client(server.port());
    client.send("GET /healthz HTTP/1.1\r\n\r\n" + request);
    std::string answer = client.answer();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("heard " + request)) << answer;
  }
  for (std::string target : {"/v2", "/sqls", "/api/v2/sql"}) {
    RawClient client(server.port());
    client.send("GET " + target + " HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(client.answer().starts_with("HTTP/1.1 401 ")) << target;
  }
  server.stop();
}

// The console's page, and a browser that has signed in there.
class ConsoleTest : public ApiTest {
 protected:
  ConsoleTest() {
    fs::create_directories(folder_ / "page/assets");
    write_file(folder_ / "page/index.html", "<html>");
    write_file(folder_ / "page/assets/a.js", "let a;");
    write_file(folder_ / "page/assets/a.js.gz", "compressed");
    sessions_ = std::make_unique<console::ConsoleSessions>(console::ConsoleSessions::Options{
        .home = folder_, .knows_key = [this](const std::string& key) {
          return accounts_->principal_of_hash(key).has_value();
        }});
    console_ = std::make_unique<Console>(console::ConsoleFiles::load(folder_ / "page"), *sessions_,
                                         server_->port());
    services_->console = console_.get();
    browser_ = std::make_unique<httplib::Client>("127.0.0.1", server_->port());
  }
  ~ConsoleTest() override { server_->stop(); }

  httplib::Result sign_in(const json& body, bool from_console = true) {
    httplib::Headers headers;
    if (from_console) headers.emplace("X-Halogen-Console", "1");
    return browser_->Post("/api/v2/console/session", headers, body.dump(), "application/json");
  }
  // The status of a list of projects for what a browser sends.
  int status_with(httplib::Headers headers) {
    return browser_->Get("/api/v2/projects", headers)->status;
  }
  std::string own_host() { return "127.0.0.1:" + std::to_string(server_->port()); }

  std::unique_ptr<console::ConsoleSessions> sessions_;
  std::unique_ptr<Console> console_;
  std::unique_ptr<httplib::Client> browser_;
};

TEST_F(ConsoleTest, ItsPageNeedsNoKeyAndTheApiDoes) {
  auto page = browser_->Get("/");
  EXPECT_EQ(page->body, "<html>");
  EXPECT_EQ(page->get_header_value("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(page->get_header_value("Cache-Control"), "no-cache");
  std::string policy = page->get_header_value("Content-Security-Policy");
  EXPECT_NE(policy.find("script-src 'self';"), std::string::npos);
  EXPECT_EQ(browser_->Get("/projects/some")->body, "<html>");
  EXPECT_EQ(browser_->Get("/", {{"If-None-Match", page->get_header_value("ETag")}})->status, 304);
  EXPECT_EQ(browser_->Get("/assets/none.js")->status, 404);
  for (const char* path : {"/api/v2/projects", "/status", "/metrics", "/internal/keys", "/v2"})
    EXPECT_EQ(browser_->Get(path)->status, 401) << path;
  EXPECT_EQ(browser_->Post("/", "", "text/plain")->status, 401);
}

TEST_F(ConsoleTest, AssetsAreKeptForEverAndCompressedForThoseWhoCan) {
  RawClient client(server_->port());
  client.send(
      "GET /assets/a.js HTTP/1.1\r\nAccept-Encoding: gzip, br\r\nConnection: close\r\n\r\n");
  std::string answer = client.answer();
  EXPECT_TRUE(answer.ends_with("\r\n\r\ncompressed")) << answer;
  EXPECT_NE(answer.find("Content-Encoding: gzip\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("immutable"), std::string::npos) << answer;
  RawClient plain(server_->port());
  plain.send("GET /assets/a.js HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(plain.answer().ends_with("\r\n\r\nlet a;"));
}

TEST_F(ConsoleTest, ACookieCountsOnlyForItsOwnPage) {
  auto entry = sign_in({{"password", sessions_->password()}});
  ASSERT_EQ(entry->status, 201) << entry->body;
  std::string cookie = entry->get_header_value("Set-Cookie");
  EXPECT_NE(cookie.find("; HttpOnly; SameSite=Strict"), std::string::npos) << cookie;
  httplib::Headers of_page = {{"Cookie", "a=b; " + cookie.substr(0, cookie.find(';'))},
                              {"X-Halogen-Console", "1"}};
  EXPECT_EQ(status_with(of_page), 200);
  auto with = [&](const char* name, const std::string& value) {
    httplib::Headers headers = of_page;
    headers.emplace(name, value);
    return status_with(headers);
  };
  EXPECT_EQ(with("Sec-Fetch-Site", "same-origin"), 200);
  EXPECT_EQ(with("Sec-Fetch-Site", "same-site"), 401);
  EXPECT_EQ(with("Origin", "http://" + own_host()), 200);
  EXPECT_EQ(with("Origin", "http://localhost:9"), 401);
  EXPECT_EQ(with("Origin", "null"), 401);
  httplib::Headers without = of_page;
  without.erase("X-Halogen-Console");
  EXPECT_EQ(status_with(without), 401);
  EXPECT_EQ(browser_->Delete("/api/v2/console/session", of_page)->status, 200);
  EXPECT_EQ(status_with(of_page), 401);
}

TEST_F(ConsoleTest, SigningInByKeyOrLinkAndNotByGuessing) {
  EXPECT_EQ(sign_in({{"api_key", "napi_test"}})->status, 201);
  EXPECT_EQ(sign_in({{"api_key", "napi_test"}}, false)->status, 403) << "not from the page";
  services_->platform = R"({"http_url":"http://here"})";
  std::string url = post("/console/sign_in_links", json::object(), 201)["url"];
  EXPECT_TRUE(url.starts_with("http://here/sign-in#")) << url;
  EXPECT_EQ(sign_in({{"link", url.substr(url.find('#') + 1)}})->status, 201);
  EXPECT_EQ(browser_->Post("/api/v2/console/sign_in_links", "{}", "application/json")->status, 401);
  EXPECT_EQ(sign_in(json::object())->status, 400);
  EXPECT_EQ(sign_in({{"password", std::string(5000, 'x')}})->status, 413);
  for (size_t i = 0; i < console::kFailuresOfOne; ++i)
    EXPECT_EQ(sign_in({{"password", "wrong password"}})->status, 401);
  EXPECT_EQ(sign_in({{"password", sessions_->password()}})->status, 429);
}

TEST_F(ApiTest, WhoAsksIsTheOperatorOfTheOneOrganization) {
  json me = get("/api/v2/users/me");
  EXPECT_EQ(me["name"], "operator");
  EXPECT_EQ(get("/api/v2/auth")["account_id"], me["id"]);
  EXPECT_EQ(get("/api/v2/auth")["auth_method"], "api_key_user");
  json organizations = get("/api/v2/users/me/organizations")["organizations"];
  ASSERT_EQ(organizations.size(), 1u);
  const std::string org = organizations[0]["id"];
  EXPECT_EQ(get("/api/v2/organizations/" + org), organizations[0]);
  EXPECT_EQ(make_project()["project"]["org_id"], org);
  EXPECT_EQ(get("/api/v2/projects?org_id=" + org)["projects"].size(), 1u);
  get("/api/v2/projects?org_id=org-none-such-00000000", 404);
  EXPECT_EQ(get("/api/v2/regions")["regions"][0]["region_id"], "us-east-1");
  EXPECT_EQ(get("/api/v2/projects/shared")["projects"], json::array());
}

TEST_F(ApiTest, ABranchIsRenamedAndBecomesTheDefault) {
  json made = make_project();
  std::string path = "/projects/" + made["project"]["id"].get<std::string>() + "/branches";
  json branch = post(path, {{"branch", {{"name", "dev"}}}}, 201)["branch"];
  std::string dev = path + "/" + branch["id"].get<std::string>();
  auto patch = [&](const json& body, int status) {
    return read(client_->Patch("/api/v2" + dev, body.dump(), "application/json"), status);
  };
  EXPECT_EQ(patch({{"branch", {{"name", "main"}}}}, 409)["code"], "BRANCH_ALREADY_EXISTS");
  EXPECT_EQ(patch({{"branch", {{"name", "next"}}}}, 200)["branch"]["name"], "next");
  EXPECT_EQ(post(dev + "/set_as_default", json::object(), 200)["branch"]["default"], true);
  json listed = get("/api/v2" + path)["branches"];
  EXPECT_EQ(std::count_if(listed.begin(), listed.end(), [](auto& one) { return one["default"]; }),
            1);
  EXPECT_EQ(get("/api/v2" + path + "/count")["count"], 2);
  EXPECT_EQ(drop(dev, 422)["message"], "cannot delete the default branch of a project");
}

TEST_F(ApiTest, ErrorsEchoTheRequestId) {
  auto result = client_->Get("/api/v2/projects/none", {{"X-Request-ID", "abc"}});
  json error = read(result, 404);
  EXPECT_EQ(error["request_id"], "abc");
  EXPECT_EQ(error["message"], "project not found");
  EXPECT_EQ(result->get_header_value("x-neon-ret-request-id"), "abc");
  get("/api/v2/no/such/thing", 404);
}

TEST_F(ApiTest, AProjectComesWithABranchAnEndpointAndAConnectionString) {
  json made = make_project();
  EXPECT_EQ(made["project"]["name"], "shop");
  EXPECT_EQ(made["project"]["pg_version"], 15);
  EXPECT_EQ(made["branch"]["name"], "main");
  EXPECT_EQ(made["branch"]["current_state"], "ready");
  EXPECT_EQ(made["operations"][0]["status"], "finished");
  std::string id = made["endpoints"][0]["id"];
  std::string password = made["roles"][0]["password"];
  EXPECT_EQ(made["endpoints"][0]["host"], id + ".us-east-1.localhost");
  std::string uri = made["connection_uris"][0]["connection_uri"];
  EXPECT_EQ(uri, "postgresql://neondb_owner:" + password + "@" + id +
                     ".us-east-1.localhost:5433/neondb?sslmode=require&channel_binding=require");
  std::string project = made["project"]["id"];
  json pooled = get("/api/v2/projects/" + project +
                    "/connection_uri?database_name=neondb&role_name=neondb_owner&pooled=true");
  EXPECT_NE(pooled["uri"].get<std::string>().find(id + "-pooler.us-east-1"), std::string::npos);
  json list = get("/api/v2/projects");
  EXPECT_EQ(list["projects"].size(), 1u);
  EXPECT_TRUE(list["applications"].is_object());
  const std::string cursor = list["pagination"]["cursor"];
  EXPECT_EQ(get("/api/v2/projects?limit=1&cursor=" + cursor)["projects"].size(), 0u);
  get("/api/v2/projects?cursor=nonsense", 400);
}

TEST_F(ApiTest, TheOverviewsTellStatesAndSizes) {
  json made = make_project();
  std::string project = made["project"]["id"];
  post("/projects/" + project + "/branches", {{"branch", {{"name", "dev"}}}}, 201);
  json one = get("/api/v2/console/overview")["projects"][0];
  EXPECT_EQ(one["project_id"], project);
  EXPECT_EQ(one["branches"], 2);
  EXPECT_EQ(one["computes"]["idle"], 2);
  json named = get("/api/v2/console/branches")["branches"];
  ASSERT_EQ(named.size(), 2u);
  EXPECT_EQ(named[1]["name"], "dev");
  EXPECT_EQ(named[1]["project_id"], project);
  std::string endpoint = made["endpoints"][0]["id"];
  manager_->wake(endpoint, [](const auto&) {});
  while (manager_->state(endpoint) != ComputeState::active) std::this_thread::yield();
  json overview = get("/api/v2/projects/" + project + "/overview");
  EXPECT_EQ(overview["branches"].size(), 2u);
  EXPECT_TRUE(overview["branches"][0].contains("own_bytes"));
  json computes = overview["computes"];
  EXPECT_EQ(std::count_if(computes.begin(), computes.end(),
                          [](auto& compute) { return compute["state"] == "active"; }),
            1);
  get("/api/v2/projects/none/overview", 404);
}

TEST_F(ApiTest, APasswordThatSqlHasChangedIsNotTold) {
  json made = make_project();
  std::string project = "/api/v2/projects/" + made["project"]["id"].get<std::string>();
  std::string branch = project + "/branches/" + made["branch"]["id"].get<std::string>();
  std::string reveal = branch + "/roles/neondb_owner/reveal_password";
  std::string password = get(reveal)["password"];
  std::string uri = project + "/connection_uri?database_name=neondb&role_name=neondb_owner";
  host_.set_roles({{"neondb_owner", scram::make_verifier("changed").str(), true}});
  std::string endpoint = made["endpoints"][0]["id"];
  manager_->begin_start(endpoint);
  EXPECT_EQ(get(uri)["uri"].get<std::string>().find(password), std::string::npos);
  EXPECT_NE(get(reveal, 404)["message"].get<std::string>().find("changed by SQL"),
            std::string::npos);
  manager_->begin_suspend(endpoint);  // The copy of the roles is exact now.
  EXPECT_EQ(get(uri)["uri"].get<std::string>().find(password), std::string::npos);
  EXPECT_EQ(host_.starts, 1);
  host_.set_roles({{"neondb_owner", scram::make_verifier(password).str(), true}});
  manager_->begin_start(endpoint);
  EXPECT_NE(get(uri)["uri"].get<std::string>().find(password), std::string::npos);
}

TEST_F(ApiTest, WhatMakesNoSenseIsRefusedWithAReason) {
  post("/projects", {{"project", {{"pg_version", 9}}}}, 400);
  post("/projects", {{"project", {{"name", 7}}}}, 400);
  EXPECT_EQ(
      read(client_->Post("/api/v2/projects", "{nonsense", "application/json"), 400)["message"],
      "the body is not a JSON object");
  post("/projects/none/branches", json::object(), 404);
}

TEST_F(ApiTest, NobodyWithoutAKeyHasABodyRead) {
  RawClient client(server_->port());
  client.send("POST /api/v2/projects HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  EXPECT_EQ(client.answer().substr(9, 3), "401") << "with no byte of the body sent";
}

TEST_F(ApiTest, WhatARequestMayAskForIsBounded) {
  auto status = [&](const std::string& headers, const std::string& path = "/api/v2/projects") {
    RawClient client(server_->port());
    client.send("POST " + path + " HTTP/1.1\r\nAuthorization: Bearer napi_test\r\n" +
                "Connection: close\r\n" + headers + "\r\n");
    std::string answer = client.answer();
    return answer.size() < 12 ? "closed" : answer.substr(9, 3);
  };
  std::string many;
  for (int i = 0; i < 101; ++i) many += fmt::format("x-{}: y\r\n", i);
  EXPECT_EQ(status(""), "201") << "without a length there is no body";
  EXPECT_EQ(status(many), "431");
  EXPECT_EQ(status("x: " + std::string(7000, 'y') + "\r\n", "/none"), "404");
  std::string large;
  for (int i = 0; i < 5; ++i) large += "x: " + std::string(7000, 'y') + "\r\n";
  EXPECT_EQ(status(large), "400");
  EXPECT_EQ(status("", "/" + std::string(1100, 'x')), "414");
  EXPECT_EQ(status("Transfer-Encoding: chunked\r\n"), "411");
  EXPECT_EQ(status("Content-Encoding: gzip\r\nContent-Length: 10\r\n"), "415");
  EXPECT_EQ(status("Content-Length: 1048577\r\n"), "413");
  EXPECT_EQ(status("Content-Length: 1\r\nContent-Length: 2\r\n"), "400");
}

TEST_F(ApiTest, ADeepBodyIsRefusedAndNumbersThatDoNotFitAreNoOthers) {
  auto refused = [&](const std::string& body) {
    return read(client_->Post("/api/v2/projects", body, "application/json"), 400)["message"]
        .get<std::string>();
  };
  std::string deep(200'000, '[');
  EXPECT_NE(
      refused("{\"project\":{\"settings\":{\"a\":" + deep + std::string(deep.size(), ']') + "}}}")
          .find("more than 32 deep"),
      std::string::npos);
  EXPECT_NE(refused(deep).find("more than 32 deep"), std::string::npos);
  refused(R"({"project":{"pg_version":4294967311}})");            // 15, in 32 bits.
  refused(R"({"project":{"pg_version":18446744073709551615}})");  // -1, in 64 bits with a sign.
}

TEST_F(ApiTest, AProjectsHistoryWindowIsToldToStorageAndWhatIsOlderIsRefused) {
  auto window = [&](const json& body) {
    const json made = post("/projects", {{"project", body}}, 201);
    const TenantId tenant = catalog_->project(made["project"]["id"]).tenant;
    EXPECT_EQ(made["project"]["history_retention_seconds"],
              pageserver_.retention()[tenant].count());
    return pageserver_.retention()[tenant].count();
  };
  EXPECT_EQ(window(json::object()), 604800);
  EXPECT_EQ(window({{"history_retention_seconds", 0}}), 0);
  post("/projects", {{"project", {{"history_retention_seconds", 2592001}}}}, 400);
  post("/projects", {{"project", {{"history_retention_seconds", -1}}}}, 400);
  post("/projects", {{"project", {{"history_retention_seconds", "week"}}}}, 400);

  const json made = make_project();
  const std::string id = made["project"]["id"];
  const Project project = catalog_->project(id);
  auto change = [&](const json& body, int status) {
    return read(client_->Patch("/api/v2/projects/" + id, json{{"project", body}}.dump(),
                               "application/json"),
                status);
  };
  EXPECT_EQ(
      change({{"history_retention_seconds", 3600}}, 200)["project"]["history_retention_seconds"],
      3600);
  EXPECT_EQ(pageserver_.retention()[project.tenant].count(), 3600);
  EXPECT_EQ(change({{"name", "other"}}, 200)["project"]["history_retention_seconds"], 3600);
  change({{"history_retention_seconds", -1}}, 400);
  pageserver_.set_history_retention(project.tenant, std::chrono::seconds(1));
  projects_->attach_all();
  EXPECT_EQ(pageserver_.retention()[project.tenant].count(), 3600) << "as at a start";

  const TimelineId main = catalog_->branch(made["branch"]["id"]).timeline;
  const Micros time = now_micros() - 1'000'000;
  pageserver_.commit(main, Lsn(0x3000000), time);
  pageserver_.forget_before(main, {Lsn(0x3000000), time});
  const json refused =
      post("/projects/" + id + "/branches", {{"branch", {{"parent_lsn", "0/2000000"}}}}, 410);
  EXPECT_EQ(refused["message"], "history begins at 0/3000000 (" + timestamp(time) +
                                    ") on branch main; 0/2000000 is older");
  const json branch = get("/api/v2/projects/" + id + "/branches/" +
                          made["branch"]["id"].get<std::string>())["branch"];
  EXPECT_TRUE(branch["storage"].contains("history_bytes")) << branch;
  EXPECT_TRUE(branch.contains("logical_size"));
  EXPECT_TRUE(get("/api/v2/projects/" + id)["project"]["storage"].contains("own_bytes"));
  EXPECT_EQ(get("/status")["storage"].size(), 3u);
}

TEST_F(ApiTest, AllowedAddressesCountAtOnceAndOutliveARestart) {
  json wanted = {{"project", {{"settings", {{"allowed_ips", {{"ips", {"192.0.2.0/24"}}}}}}}}};
  json made = post("/projects", wanted, 201);
  EXPECT_EQ(made["project"]["settings"]["allowed_ips"],
            json::parse(R"({"ips":["192.0.2.0/24"],"protected_branches_only":false})"));
  std::string path = "/api/v2/projects/" + made["project"]["id"].get<std::string>();
  std::string endpoint = made["endpoints"][0]["id"];
  auto allowed = [&](std::string_view from) {
    return manager_->address_allowed(endpoint, IpAddress::parse(from).value());
  };
  auto change = [&](const json& ips, int status) {
    json body = {{"project", {{"settings", {{"allowed_ips", {{"ips", ips}}}}}}}};
    return read(client_->Patch(path, body.dump(), "application/json"), status);
  };
  EXPECT_TRUE(allowed("192.0.2.9"));
  EXPECT_FALSE(allowed("198.51.100.1"));
  json patched = change({"198.51.100.1", "2001:db8::/32"}, 200);
  EXPECT_EQ(patched["project"]["settings"]["allowed_ips"]["ips"].size(), 2u);
  EXPECT_EQ(patched["project"]["name"], made["project"]["name"]);
  EXPECT_FALSE(allowed("192.0.2.9"));
  EXPECT_TRUE(allowed("2001:db8::5"));

  json refused = change({"198.51.100.1", "nonsense"}, 400);
  EXPECT_EQ(refused["code"], "INVALID_ALLOWED_IPS");
  EXPECT_NE(refused["message"].get<std::string>().find("\"nonsense\" is not an address"),
            std::string::npos);
  EXPECT_EQ(change("192.0.2.1", 400)["message"], "project.settings.allowed_ips.ips must be a list");
  EXPECT_TRUE(allowed("198.51.100.1"));

  manager_->set_allowed_addresses(made["project"]["id"], {});  // As after a restart.
  EXPECT_TRUE(allowed("192.0.2.9"));
  projects_->restore_access();
  EXPECT_FALSE(allowed("192.0.2.9"));
  change(json::array(), 200);
  EXPECT_TRUE(allowed("192.0.2.9"));
}

TEST_F(ApiTest, AListForProtectedBranchesOnlyLeavesOthersOpen) {
  json wanted = {{"allowed_ips", {{"ips", {"::1"}}, {"protected_branches_only", true}}}};
  json made = post("/projects", {{"project", {{"settings", wanted}}}}, 201);
  std::string path = "/projects/" + made["project"]["id"].get<std::string>();
  std::string branch = path + "/branches/" + made["branch"]["id"].get<std::string>();
  std::string endpoint = made["endpoints"][0]["id"];
  auto allowed = [&] {
    return manager_->address_allowed(endpoint, IpAddress::parse("192.0.2.9").value());
  };
  EXPECT_TRUE(allowed());
  auto protect = [&](bool wished) {
    json body = {{"branch", {{"protected", wished}}}};
    json answer = read(client_->Patch("/api/v2" + branch, body.dump(), "application/json"), 200);
    EXPECT_EQ(answer["branch"]["protected"], wished);
  };
  protect(true);
  EXPECT_FALSE(allowed());
  EXPECT_EQ(drop(path, 422)["message"], "cannot delete a project with a protected branch: " +
                                            made["branch"]["id"].get<std::string>());
  protect(false);
  EXPECT_TRUE(allowed());
}

TEST_F(ApiTest, AProjectIsRenamed) {
  json made = make_project("shop");
  std::string path = "/api/v2/projects/" + made["project"]["id"].get<std::string>();
  std::string body = R"({"project":{"name":"store"}})";
  EXPECT_EQ(read(client_->Patch(path, body, "application/json"), 200)["project"]["name"], "store");
  EXPECT_EQ(get(path)["project"]["name"], "store");
  read(client_->Patch("/api/v2/projects/none", body, "application/json"), 404);
}

TEST_F(ApiTest, BranchesAreMadeListedAndDeletedChildrenFirst) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  std::string main = made["branch"]["id"];
  pageserver_.advance(catalog_->branch(main).timeline, Lsn(0x3000000));
  json child = post(base + "/branches", {{"branch", {{"name", "dev"}}}}, 201);
  EXPECT_EQ(child["branch"]["parent_id"], main);
  EXPECT_EQ(child["branch"]["parent_lsn"], "0/3000000");
  EXPECT_EQ(child["roles"][0]["password"], made["roles"][0]["password"]);
  EXPECT_FALSE(child.contains("connection_uris"));
  EXPECT_TRUE(child["endpoints"].empty());
  json taken = post(base + "/branches", {{"branch", {{"name", "dev"}}}}, 409);
  EXPECT_EQ(taken["code"], "BRANCH_ALREADY_EXISTS");
  std::string id = child["branch"]["id"];
  json grandchild = post(base + "/branches", {{"branch", {{"parent_id", id}}}}, 201);
  std::string leaf = grandchild["branch"]["id"];
  json listed = get("/api/v2" + base + "/branches");
  EXPECT_EQ(listed["branches"].size(), 3u);
  EXPECT_TRUE(listed["annotations"].is_object());
  EXPECT_EQ(drop(base + "/branches/" + id, 422)["message"],
            "cannot delete branch that has children: " + leaf);
  drop(base + "/branches/" + leaf);
  drop(base + "/branches/" + id);
  EXPECT_EQ(safekeeper_.count(), 1u);
  drop(base + "?hard_delete=true");
  EXPECT_EQ(safekeeper_.count(), 0u);
  EXPECT_TRUE(catalog_->projects().empty());
}

TEST_F(ApiTest, ABranchBeginsAtTheLastCommitAtOrBeforeAMoment) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  const TimelineId main = catalog_->branch(made["branch"]["id"]).timeline;
  const Micros created = catalog_->project(made["project"]["id"]).created_at;
  pageserver_.commit(main, Lsn(0x3000000), created + 1000);
  pageserver_.commit(main, Lsn(0x4000000), created + 2000);
  auto create = [&](const char* key, const std::string& value, int status) {
    return post(base + "/branches", {{"branch", {{key, value}}}}, status);
  };
  json at = create("parent_lsn", "0/3000010", 201)["branch"];
  EXPECT_EQ(at["parent_lsn"], "0/3000000");
  EXPECT_EQ(at["parent_timestamp"], timestamp(created + 1000));
  while (now_micros() < created + 2500) std::this_thread::yield();
  EXPECT_EQ(create("parent_timestamp", timestamp(created + 1999), 201)["branch"]["parent_lsn"],
            "0/3000000");
  EXPECT_EQ(create("parent_timestamp", timestamp(created + 2400), 201)["branch"]["parent_lsn"],
            "0/4000000");
  EXPECT_EQ(create("parent_lsn", "0/4000010", 400)["message"],
            "0/4000010 is beyond the head of branch main, which is at 0/4000000");
  create("parent_timestamp", timestamp(now_micros() + 60'000'000), 400);
  create("parent_timestamp", timestamp(created - 1), 410);
  create("parent_lsn", "0/10", 410);
  create("parent_lsn", "nonsense", 400);
}

TEST_F(ApiTest, ABranchInThePastTellsAPasswordOnlyIfItIsGood) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  const TimelineId main = catalog_->branch(made["branch"]["id"]).timeline;
  const std::string given = made["roles"][0]["password"];
  std::string endpoint = made["endpoints"][0]["id"];
  auto told = [&] {
    json child = post(base + "/branches", {{"branch", {{"parent_lsn", "0/3000000"}}}}, 201);
    return child["roles"].empty() ? "" : child["roles"][0].value("password", "");
  };
  auto start_with = [&](const std::string& password) {
    host_.set_roles({{"neondb_owner", scram::make_verifier(password).str(), true}});
    manager_->begin_start(endpoint);
    manager_->exclusively(endpoint, [](bool) {});
  };
  pageserver_.commit(main, Lsn(0x3000000), now_micros());
  start_with(given);
  EXPECT_EQ(told(), given);
  const std::string role =
      base + "/branches/" + made["branch"]["id"].get<std::string>() + "/roles/neondb_owner";
  const std::string later = post(role + "/reset_password", json::object(), 200)["role"]["password"];
  host_.set_roles({{"neondb_owner", scram::make_verifier(later).str(), true}});
  EXPECT_EQ(told(), "") << "it was given after that moment";
  host_.set_roles({{"neondb_owner", scram::make_verifier("changed").str(), true}});
  EXPECT_EQ(told(), "");
}

TEST_F(ApiTest, ARestoreMovesTheBranchAndAResetDeletesWhatItLeaves) {
  json made = make_project();
  std::string project = made["project"]["id"];
  std::string base = "/projects/" + project + "/branches";
  std::string main = made["branch"]["id"];
  pageserver_.commit(catalog_->branch(main).timeline, Lsn(0x3000000), now_micros());
  std::string dev = post(base, {{"branch", {{"name", "dev"}}}}, 201)["branch"]["id"];
  auto restore = [&](const std::string& branch, const json& body, int status) {
    return post(base + "/" + branch + "/restore", body, status);
  };
  EXPECT_EQ(restore(main, json::object(), 400)["message"], "source_branch_id is required");
  restore(main, {{"source_branch_id", main}, {"preserve_under_name", "old"}}, 400);
  restore(main, {{"source_branch_id", main}, {"source_lsn", "0/3000000"}}, 422);
  EXPECT_EQ(restore(main, {{"source_branch_id", dev}}, 422)["message"],
            "Branch has children, preserve_under_name is required");
  json taken = {{"source_branch_id", dev}, {"preserve_under_name", "dev"}};
  EXPECT_EQ(restore(main, taken, 409)["code"], "BRANCH_ALREADY_EXISTS");

  const TimelineId before = catalog_->branch(dev).timeline;
  json reset = restore(dev, {{"source_branch_id", main}}, 200)["branch"];
  EXPECT_EQ(reset["parent_id"], main);
  EXPECT_NE(catalog_->branch(dev).timeline, before);
  EXPECT_EQ(safekeeper_.count(), 2u) << "the old timeline is gone";
  json kept = {
      {"source_branch_id", main}, {"source_lsn", "0/3000000"}, {"preserve_under_name", "old"}};
  json restored = restore(main, kept, 200)["branch"];
  EXPECT_EQ(restored["id"], main);
  EXPECT_TRUE(restored.contains("last_reset_at"));
  EXPECT_EQ(catalog_->branch(restored["parent_id"]).name, "old");
  EXPECT_EQ(catalog_->branch(dev).parent_id, restored["parent_id"].get<std::string>());
  EXPECT_EQ(safekeeper_.count(), 3u);
  drop("/projects/" + project + "?hard_delete=true");
  EXPECT_EQ(safekeeper_.count(), 0u);
  EXPECT_TRUE(catalog_->projects().empty());
}

TEST_F(ApiTest, ALookAtTheMomentIsSharedNotListedAndGoesWhenItIsIdle) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  std::string endpoint = made["endpoints"][0]["id"];
  json wish = {{"branch", {{"name", "dev"}}}, {"endpoints", {{{"type", "read_write"}}}}};
  std::string dev = post(base + "/branches", wish, 201)["branch"]["id"];
  const TimelineId main = catalog_->branch(made["branch"]["id"]).timeline;
  pageserver_.commit(main, Lsn(0x3000000), now_micros());
  const std::string look = projects_->looks().look_at(endpoint, "neon_lsn:0/3000000");
  EXPECT_EQ(projects_->looks().look_at(endpoint, "neon_timestamp:" + timestamp(now_micros())),
            look);
  EXPECT_EQ(get("/api/v2" + base + "/branches")["branches"].size(), 2u);
  EXPECT_EQ(get("/api/v2" + base + "/endpoints")["endpoints"].size(), 2u);
  EXPECT_EQ(contract::refusal([&] { projects_->looks().look_at(endpoint, "neon_lsn:x"); }),
            Errc::invalid_argument);
  EXPECT_EQ(contract::refusal([&] { projects_->looks().look_at(endpoint, "neon_lsn:0/10"); }),
            Errc::gone);

  projects_->looks().close_idle();
  EXPECT_TRUE(manager_->exists(look)) << "it is new";
  manager_->begin_start(look);
  manager_->exclusively(look, [](bool) {});
  EXPECT_EQ(host_.settings().at("halogen.read_only"), "on");
  projects_->looks().close_idle();
  EXPECT_TRUE(manager_->exists(look)) << "it is in use";
  manager_->begin_suspend(look);
  manager_->exclusively(look, [](bool) {});
  projects_->looks().close_idle();
  EXPECT_FALSE(manager_->exists(look));
  EXPECT_EQ(safekeeper_.count(), 2u);

  projects_->looks().look_at(catalog_->endpoint_of_branch(dev).id, "neon_lsn:0/2000000");
  drop(base + "/branches/" + dev);  // It is no child that keeps it.
  EXPECT_EQ(safekeeper_.count(), 1u);
}

TEST_F(ApiTest, ARestoreThatFailsLeavesTheBranchAsItWas) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>() + "/branches";
  json dev = post(base, {{"branch", {{"name", "dev"}}}}, 201)["branch"];
  const Branch before = catalog_->branch(dev["id"]);
  pageserver_.fail_creates = true;
  post(base + "/" + before.id + "/restore", {{"source_branch_id", made["branch"]["id"]}}, 503);
  EXPECT_EQ(catalog_->branch(before.id).timeline, before.timeline);
  EXPECT_TRUE(catalog_->loose_timelines().empty());
  EXPECT_EQ(safekeeper_.count(), 2u);
}

TEST_F(ApiTest, ATimelineThatNoBranchHasIsDeletedAtTheNextStart) {
  json made = make_project();
  const TimelineId loose = TimelineId::random();
  const Branch main = catalog_->branch(made["branch"]["id"]);
  catalog_->add_loose_timeline({loose, main.project_id});  // As a crash within a restore leaves it.
  safekeeper_.create_timeline(loose, main.parent_lsn, 1);
  projects_->finish_interrupted();
  EXPECT_EQ(safekeeper_.count(), 1u);
  EXPECT_TRUE(catalog_->loose_timelines().empty());
}

TEST_F(ApiTest, AFailedBranchLeavesNothingBehind) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  pageserver_.fail_creates = true;
  json error = post(base + "/branches", {{"branch", {{"name", "dev"}}}}, 503);
  EXPECT_EQ(error["message"], "WAL did not arrive");
  pageserver_.fail_creates = false;
  post(base + "/branches", {{"branch", {{"name", "dev"}}}}, 201);
}

TEST_F(ApiTest, AFailedProjectLeavesNothingBehind) {
  pageserver_.fail_creates = true;
  post("/projects", {{"project", {{"name", "shop"}}}}, 503);
  EXPECT_TRUE(catalog_->projects().empty());
  pageserver_.fail_creates = false;
  make_project();
}

TEST_F(ApiTest, ABranchThatStorageCannotOpenStopsNoOtherAndCanBeDeleted) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  json child = post(base + "/branches", {{"branch", {{"name", "dev"}}}}, 201);
  pageserver_.lose(catalog_->branch(child["branch"]["id"]).timeline);
  projects_->attach_all();
  drop(base + "/branches/" + child["branch"]["id"].get<std::string>());
  EXPECT_EQ(safekeeper_.count(), 1u);
}

TEST(StorageFakes, KeepTheContractOfTheRealThing) {
  FakePageserver pageserver;
  contract::expect_contract(pageserver, pageserver.template_timeline(15).timeline, Lsn(0x2000000));
  FakeSafekeeper safekeeper;
  contract::expect_contract(safekeeper);
}

TEST_F(ApiTest, AnEndpointStartsSuspendsAndTakesAnIdleTimeout) {
  json made = make_project();
  std::string base = "/projects/" + made["project"]["id"].get<std::string>();
  std::string path = base + "/endpoints/" + made["endpoints"][0]["id"].get<std::string>();
  json started = post(path + "/start", json::object(), 200);
  std::string operation =
      "/api/v2" + base + "/operations/" + started["operations"][0]["id"].get<std::string>();
  json status;
  for (int i = 0; i < 300 && status != "finished"; ++i) {
    status = get(operation)["operation"]["status"];
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(status, "finished");
  EXPECT_EQ(get("/api/v2" + path)["endpoint"]["current_state"], "active");
  json patched =
      read(client_->Patch("/api/v2" + path, R"({"endpoint":{"suspend_timeout_seconds":1}})",
                          "application/json"),
           200);
  EXPECT_EQ(patched["endpoint"]["suspend_timeout_seconds"], 1);
  read(client_->Patch("/api/v2" + path, R"({"endpoint":{"suspend_timeout_seconds":-7}})",
                      "application/json"),
       400);
  json state = "active";
  for (int i = 0; i < 300 && state != "idle"; ++i) {
    state = get("/api/v2" + path)["endpoint"]["current_state"];
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(state, "idle");
  EXPECT_GE(get("/api/v2" + base + "/operations")["operations"].size(), 3u);
}

TEST_F(ApiTest, ASettingThatIsNotAllowedIsRefusedWithItsNameAndRange) {
  json made = make_project();
  std::string path = "/api/v2/projects/" + made["project"]["id"].get<std::string>() +
                     "/endpoints/" + made["endpoints"][0]["id"].get<std::string>();
  auto patch = [&](const json& settings, int status) {
    json body = {{"endpoint", {{"settings", {{"pg_settings", settings}}}}}};
    return read(client_->Patch(path, body.dump(), "application/json"), status);
  };
  EXPECT_EQ(patch({{"max_replication_slots", 0}}, 400)["message"],
            "pg_settings.max_replication_slots must be a whole number from 5 to 100, not \"0\"");
  patch({{"archive_command", "id"}}, 400);
  json set = patch({{"work_mem", "8MB"}, {"max_connections", 50}, {"jit", false}}, 200);
  EXPECT_EQ(set["endpoint"]["settings"]["pg_settings"]["max_connections"], "50");
  EXPECT_FALSE(set["endpoint"]["settings"].contains("pg_settings_ignored"));
}

TEST_F(ApiTest, ASettingThatAnOlderReleaseTookIsShownAndDoesNotCount) {
  json made = make_project();
  std::string id = made["endpoints"][0]["id"];
  std::string base = "/projects/" + made["project"]["id"].get<std::string>() + "/endpoints/" + id;
  Endpoint older = catalog_->endpoint(id);
  older.settings = R"({"archive_command":"id","work_mem":"8MB","pooler.default_pool_size":1})";
  catalog_->update_endpoint(older);
  json settings = get("/api/v2" + base)["endpoint"]["settings"];
  EXPECT_EQ(settings["pg_settings"]["archive_command"], "id");
  EXPECT_TRUE(settings["pg_settings_ignored"].contains("archive_command"));
  std::promise<bool> awake;
  manager_->wake(id, [&](Outcome<ComputeAddress> got) { awake.set_value(got.value.has_value()); });
  EXPECT_TRUE(awake.get_future().get());
  EXPECT_EQ(host_.settings(), (SettingValues{{"work_mem", "8MB"}}));
  // What has nothing to do with it can still be changed.
  read(client_->Patch("/api/v2" + base, R"({"endpoint":{"suspend_timeout_seconds":60}})",
                      "application/json"),
       200);
}

TEST_F(ApiTest, StatusAndMetricsShowTheComponents) {
  services_->components = [] {
    return std::vector<ComponentStatus>{{"pageserver", "running", "1 timeline"}};
  };
  services_->platform = R"({"pg_port":5433})";
  json status = get("/status");
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["pg_port"], 5433);
  EXPECT_EQ(status["components"][0]["name"], "pageserver");
  EXPECT_EQ(client_->Get("/metrics")->status, 200);
}

TEST_F(ApiTest, KeysAreListedRotatedAndDroppedWithoutBeingShown) {
  make_project();
  json before = get("/internal/keys")["keys"];
  ASSERT_EQ(before.size(), 1u);
  EXPECT_EQ(before[0]["passwords"], 1);
  json rotated = read(client_->Post("/internal/keys/rotate", "{}", "application/json"), 200);
  ASSERT_EQ(rotated["keys"].size(), 2u);
  EXPECT_EQ(rotated["keys"][0]["passwords"], 0);
  EXPECT_EQ(rotated["keys"][1]["newest"], true);
  EXPECT_EQ(rotated["keys"][1].size(), 3u) << "id, newest, passwords: not the key";
  json left = read(client_->Post("/internal/keys/drop_older", "{}", "application/json"), 200);
  EXPECT_EQ(left["keys"].size(), 1u);
}

TEST_F(ApiTest, SafekeepersDropWhatStorageHasMadeDurable) {
  json made = make_project();
  TimelineId timeline = catalog_->branch(made["branch"]["id"]).timeline;
  pageserver_.advance(timeline, Lsn(0x5000000));
  Reconcile reconcile(*catalog_, pageserver_, safekeeper_);
  reconcile.pass();
  EXPECT_EQ(safekeeper_.status(timeline).start, Lsn(0x5000000));
}

}  // namespace
}  // namespace halogen::control::api
