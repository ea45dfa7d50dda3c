#include "control/api/description/description.h"

#include <random>
#include <set>

#include "base/error.h"
#include "control/api/api_fixture.h"
#include "control/api/description/schema.h"

namespace halogen::control::api {
namespace {

std::string refused(const json& schema, const json& value) {
  try {
    schema::check(schema, value, "", json::object());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    return error.what();
  }
  return "";
}

TEST(Schema, TheFieldThatIsWrongIsNamed) {
  using namespace schema;
  const json shape = object({required(
      "project",
      object({optional("name", text(5)), optional("size", whole(1, 9)), optional("on", flag()),
              optional("at", time()), optional("kind", choice({"a", "b"})),
              optional("tags", list(text())), optional("map", map_of(flag()))}))});
  auto of = [&](const char* text) { return refused(shape, json::parse(text)); };
  EXPECT_EQ(of(R"({})"), "project is required");
  EXPECT_EQ(of(R"({"project":[]})"), "project must be an object");
  EXPECT_EQ(of(R"({"project":{"name":7}})"), "project.name must be a string");
  EXPECT_EQ(of(R"({"project":{"name":"longer"}})"), "project.name is longer than 5 bytes");
  EXPECT_EQ(of(R"({"project":{"size":"7"}})"), "project.size must be an integer");
  EXPECT_EQ(of(R"({"project":{"size":7.5}})"), "project.size must be an integer");
  EXPECT_EQ(of(R"({"project":{"size":18446744073709551615}})"), "project.size must be an integer");
  EXPECT_EQ(of(R"({"project":{"size":10}})"), "project.size must be at most 9");
  EXPECT_EQ(of(R"({"project":{"on":"true"}})"), "project.on must be true or false");
  EXPECT_EQ(of(R"({"project":{"at":"yesterday"}})").find("project.at must be a time"), 0u);
  EXPECT_EQ(of(R"({"project":{"kind":"c"}})"), "project.kind must be one of: a, b");
  EXPECT_EQ(of(R"({"project":{"tags":["x",1]}})"), "project.tags[1] must be a string");
  EXPECT_EQ(of(R"({"project":{"map":{"x":1}}})"), "project.map.x must be true or false");
  EXPECT_EQ(of(R"([])"), "the body must be an object");
}

TEST(Schema, UnknownFieldsNullAndEmptyTextsAreTaken) {
  using namespace schema;
  const json shape =
      object({optional("name", text(5)), optional("at", time()), optional("size", whole(1, 9))});
  EXPECT_EQ(refused(shape, json::parse(R"({"name":"","at":"","size":null,"other":[1]})")), "");
}

// "/projects/{project_id}" as "/api/v2/projects/:project_id".
std::string pattern_of(std::string path) {
  for (size_t at; (at = path.find('{')) != std::string::npos;) path[at] = ':';
  std::erase(path, '}');
  return "/api/v2" + path;
}

TEST(Description, TellsOfEveryRouteAndOfNoOther) {
  std::set<std::string> described;
  std::set<std::string> ids;
  for (const auto& [path, methods] : description()["paths"].items())
    for (const auto& [method, operation] : methods.items()) {
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(std::toupper(c));
      described.insert(upper + " " + pattern_of(path));
      EXPECT_TRUE(ids.insert(operation["operationId"]).second) << operation["operationId"];
    }
  std::set<std::string> served;
  for (const Route& route : routes())
    if (std::string_view(route.pattern).starts_with("/api/"))
      served.insert(std::string(route.method) + " " + route.pattern);
  EXPECT_EQ(described, served);
}

void expect_references(const json& node) {
  if (node.is_object() && node.contains("$ref")) {
    const std::string name = node["$ref"].get<std::string>().substr(21);
    EXPECT_TRUE(description()["components"]["schemas"].contains(name)) << name;
  }
  for (const json& member : node)
    if (member.is_structured()) expect_references(member);
}

TEST(Description, EveryReferenceIsToAComponent) { expect_references(description()); }

TEST_F(ApiTest, TheDescriptionIsServedToAnybody) {
  httplib::Client client("127.0.0.1", server_->port());
  auto answer = client.Get("/api/v2/openapi.json");
  ASSERT_EQ(answer->status, 200);
  EXPECT_EQ(json::parse(answer->body)["openapi"], "3.0.3");
}

// Makes requests of all routes, right and wrong.
class Mischief {
 public:
  Mischief(unsigned seed, std::vector<std::string> ids) : random_(seed), ids_(std::move(ids)) {}

  size_t below(size_t n) { return random_() % n; }
  const Route& route() { return routes()[below(routes().size())]; }

  std::string path(const Route& route) {
    std::string out;
    std::string_view rest = route.pattern;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('/', 1), rest.size());
      const std::string_view segment = rest.substr(0, end);
      out += segment.starts_with("/:") ? "/" + word() : std::string(segment);
      rest.remove_prefix(end);
    }
    for (size_t i = below(3); i > 0; --i) out += (i == 1 ? "?" : "&") + parameter();
    return out;
  }
  json body(int depth = 0) {
    static const char* kNames[] = {"project",
                                   "branch",
                                   "endpoint",
                                   "name",
                                   "settings",
                                   "role",
                                   "database",
                                   "parent_id",
                                   "parent_lsn",
                                   "parent_timestamp",
                                   "expires_at",
                                   "protected",
                                   "endpoints",
                                   "type",
                                   "allowed_ips",
                                   "ips",
                                   "quota",
                                   "pg_settings",
                                   "branch_id",
                                   "owner_name",
                                   "key_name",
                                   "suspend_timeout_seconds",
                                   "autoscaling_limit_min_cu",
                                   "source_branch_id",
                                   "init_source",
                                   "default_endpoint_settings",
                                   "annotation_value",
                                   "pg_version",
                                   "snapshot",
                                   "schedule"};
    json out = json::object();
    for (size_t i = below(5); i > 0; --i) out[kNames[below(std::size(kNames))]] = value(depth);
    return out;
  }

 private:
  json value(int depth) {
    switch (below(depth > 3 ? 6 : 9)) {
      case 0:
        return nullptr;
      case 1:
        return below(2) == 0;
      case 2:
        return static_cast<int64_t>(random_()) - (int64_t{1} << 31);
      case 3:
        return 1e300;
      case 4:
        return word();
      case 5:
        return "";
      case 6:
        return json::array({value(depth + 1)});
      default:
        return body(depth + 1);
    }
  }
  std::string word() {
    static const char* kWords[] = {
        "x",          "0/1",    "2026-11-23T01:26:10Z", "%00", "%2F..%2F",
        "read_write", "neondb", "neondb_owner",         "-1",  "99999999999999999999",
        "%FF%FE"};
    return below(3) == 0 ? ids_[below(ids_.size())] : kWords[below(std::size(kWords))];
  }
  std::string parameter() {
    static const char* kNames[] = {"limit",  "cursor",    "search",    "sort_by",
                                   "org_id", "pooled",    "branch_id", "endpoint_id",
                                   "lsn",    "timestamp", "db_name"};
    return std::string(kNames[below(std::size(kNames))]) + "=" + word();
  }

  std::mt19937 random_;
  std::vector<std::string> ids_;
};

TEST_F(ApiTest, TenThousandRequestsOfAnySortAreNeverAnsweredWithAnInternalError) {
  json made = make_project();
  Mischief mischief(1, {made["project"]["id"], made["branch"]["id"], made["endpoints"][0]["id"],
                        accounts_->organizations()[0].id});
  std::map<int, int> seen;
  for (int i = 0; i < 10'000; ++i) {
    const Route& route = mischief.route();
    httplib::Request request;
    request.method = route.method;
    request.path = mischief.path(route);
    if (request.method != "GET" && mischief.below(4) != 0) {
      request.body = mischief.body().dump();
      request.headers.emplace("Content-Type", "application/json");
    }
    auto answer = client_->send(request);
    ASSERT_TRUE(answer) << request.method << " " << request.path;
    ++seen[answer->status];
    ASSERT_NE(answer->status, 500) << request.method << " " << request.path << "\n"
                                   << request.body << "\n"
                                   << answer->body;
    if (answer->status >= 400) {
      json body = json::parse(answer->body, nullptr, false);
      ASSERT_TRUE(body.is_object() && body.contains("request_id") && body.contains("message"));
    }
  }
  EXPECT_GT(seen[200], 100);
  EXPECT_GT(seen[400], 100);
  EXPECT_GT(seen[404], 100);
}

}  // namespace
}  // namespace halogen::control::api
