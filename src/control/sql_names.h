// sql_names.h: names of roles and databases, and texts, as SQL has them. Pure.
#pragma once
#include <string>
#include <string_view>

namespace halogen::control {

// Whether Postgres takes it as it is. Throws invalid_argument, saying which of `what` is wrong.
void check_sql_name(std::string_view what, const std::string& name);
// For a role or a database that a new project is to begin with: Postgres has none of that name in
// it, and refuses none. Throws invalid_argument or already_exists.
void check_first_role(const std::string& name);
void check_first_database(const std::string& name);

std::string quoted_name(const std::string& name);     // "name"
std::string quoted_literal(const std::string& text);  // 'text', where a backslash is only that.

}  // namespace halogen::control
