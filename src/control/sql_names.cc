#include "control/sql_names.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace halogen::control {
namespace {

constexpr size_t kLongestName = 63;  // Bytes; Postgres cuts off more.

// What a new project has besides its owner, and what Postgres takes for words.
constexpr std::array<std::string_view, 4> kOtherRoles = {"cloud_admin", "neon_superuser", "public",
                                                         "none"};
constexpr std::array<std::string_view, 3> kOtherDatabases = {"postgres", "template0", "template1"};

std::string quoted(const std::string& text, char quote) {
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote) out += quote;
    out += c;
  }
  return out + quote;
}

}  // namespace

void check_sql_name(std::string_view what, const std::string& name) {
  if (name.empty()) throw Error(Errc::invalid_argument, "{} name is required", what);
  if (name.size() > kLongestName)
    throw Error(Errc::invalid_argument, "{} name is longer than {} bytes", what, kLongestName);
  if (std::ranges::any_of(name, [](unsigned char c) { return c < ' '; }))
    throw Error(Errc::invalid_argument, "{} name holds a control character", what);
}

void check_first_role(const std::string& name) {
  check_sql_name("role", name);
  if (name.starts_with("pg_"))
    throw Error(Errc::invalid_argument, "role name \"{}\" is reserved: it begins with pg_", name);
  if (std::ranges::find(kOtherRoles, name) != kOtherRoles.end())
    throw Error(Errc::already_exists, "role already exists");
}

void check_first_database(const std::string& name) {
  check_sql_name("database", name);
  if (std::ranges::find(kOtherDatabases, name) != kOtherDatabases.end())
    throw Error(Errc::already_exists, "database already exists");
}

std::string quoted_name(const std::string& name) { return quoted(name, '"'); }

std::string quoted_literal(const std::string& text) { return quoted(text, '\''); }

}  // namespace halogen::control
