// API keys: their secrets are told once, when they are made.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/api/requests.h"
#include "control/api/shapes.h"
#include "control/names.h"

namespace halogen::control::api {

using nlohmann::json;

namespace {

constexpr size_t kLongestName = 64;

json key_json(const ApiKey& key) {
  json shape = {{"id", key.id},
                {"name", key.name},
                {"created_at", rfc3339(key.created_at)},
                {"created_by", key.user_id},
                {"last_used_from_addr", key.last_used_from}};
  if (key.last_used_at) shape["last_used_at"] = rfc3339(*key.last_used_at);
  if (!key.project_id.empty()) shape["project_id"] = key.project_id;
  return shape;
}

Response listed(Services& services, const std::vector<ApiKey>& keys) {
  json answer = json::array();
  for (const ApiKey& key : keys) {
    json shape = key_json(key);
    const User user = services.accounts.user(key.user_id);
    shape["created_by"] = {{"id", user.id}, {"name", user.name}, {"image", ""}};
    answer.push_back(std::move(shape));
  }
  return json_response(200, answer);
}

Response created(Services& services, const Request& request, ApiKey key) {
  json body = request.body_json();
  key.name = text_or(body, "key_name", "");
  if (key.name.empty()) throw Error(Errc::invalid_argument, "key_name is required");
  if (key.name.size() > kLongestName)
    throw Error(Errc::invalid_argument, "key_name is longer than {} bytes", kLongestName);
  key.user_id = request.principal.user_id;
  const std::string secret = new_api_key();
  json shape = key_json(services.accounts.add_key(std::move(key), secret));
  shape.erase("last_used_from_addr");
  shape["key"] = secret;
  return json_response(200, shape);
}

Response revoked(Services& services, const Request& request, const std::vector<ApiKey>& known) {
  const std::optional<int64_t> id = parse_whole(request.at("key_id"));
  auto found = std::ranges::find(known, id.value_or(0), &ApiKey::id);
  if (found == known.end()) throw Error(Errc::not_found, "API key not found");
  services.accounts.revoke(found->id);
  json shape = key_json(*found);
  shape["revoked"] = true;
  return json_response(200, shape);
}

}  // namespace

Response list_api_keys(Services& services, const Request& request) {
  return listed(services, services.accounts.personal_keys(request.principal.user_id));
}

Response create_api_key(Services& services, const Request& request) {
  return created(services, request, {});
}

Response revoke_api_key(Services& services, const Request& request) {
  return revoked(services, request, services.accounts.personal_keys(request.principal.user_id));
}

Response list_organization_keys(Services& services, const Request& request) {
  const std::string org = services.accounts.organization(request.at("org_id")).id;
  return listed(services, services.accounts.organization_keys(org));
}

Response create_organization_key(Services& services, const Request& request) {
  ApiKey key{.kind = KeyKind::organization};
  key.org_id = services.accounts.organization(request.at("org_id")).id;
  key.project_id = text_or(request.body_json(), "project_id", "");
  if (!key.project_id.empty()) {
    key.kind = KeyKind::project;
    if (services.projects.present(key.project_id).org_id != key.org_id)
      throw Error(Errc::not_found, "project not found");
  }
  return created(services, request, std::move(key));
}

Response revoke_organization_key(Services& services, const Request& request) {
  const std::string org = services.accounts.organization(request.at("org_id")).id;
  return revoked(services, request, services.accounts.organization_keys(org));
}

}  // namespace halogen::control::api
