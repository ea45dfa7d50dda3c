#include "control/connection_strings.h"

#include <algorithm>

#include "base/url.h"

namespace halogen::control {

std::string ConnectionStrings::host_name(const std::string& endpoint_id, bool pooled) const {
  return fmt::format("{}{}.{}", endpoint_id, pooled ? "-pooler" : "", options_.domain);
}

std::optional<std::string> ConnectionStrings::password(const Endpoint& endpoint,
                                                       const std::string& role) {
  std::optional<std::string> given = options_.catalog.password(endpoint.branch_id, role);
  if (!given) return std::nullopt;
  const std::optional<std::vector<StoredRole>> roles = options_.history.roles_now(endpoint);
  if (roles && role_with_password(*roles, role, *given) == nullptr) return std::nullopt;
  return given;
}

std::string ConnectionStrings::first_database(const std::string& branch_id) {
  std::vector<DatabaseRecord> all = options_.catalog.databases(branch_id);
  bool usual = std::ranges::find(all, kFirstDatabase, &DatabaseRecord::name) != all.end();
  return usual || all.empty() ? kFirstDatabase : all.front().name;
}

// Those that we gave a password are for users.
std::string ConnectionStrings::first_role(const std::string& branch_id) {
  auto all = options_.catalog.passwords(branch_id);
  bool usual = std::ranges::any_of(all, [](auto& one) { return one.first == kOwnerRole; });
  return usual || all.empty() ? kOwnerRole : all.front().first;
}

std::string ConnectionStrings::uri(const Endpoint& endpoint, const std::string& wanted_database,
                                   const std::string& wanted_role, bool pooled) {
  const std::string& branch = endpoint.branch_id;
  const std::string database = wanted_database.empty() ? first_database(branch) : wanted_database;
  const std::string role = wanted_role.empty() ? first_role(branch) : wanted_role;
  std::optional<std::string> known = password(endpoint, role);
  std::string port = options_.pg_port == 5432 ? "" : fmt::format(":{}", options_.pg_port);
  return fmt::format("postgresql://{}{}@{}{}/{}?sslmode=require&channel_binding=require",
                     url_encoded(role), known ? ":" + url_encoded(*known) : "",
                     host_name(endpoint.id, pooled), port, url_encoded(database));
}

}  // namespace halogen::control
