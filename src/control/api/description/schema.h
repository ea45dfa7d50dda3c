// schema.h: JSON schemas as OpenAPI 3.0 has them: building them, and checking a value by one. Pure;
// fuzz/api_description.cc drives the check.
#pragma once
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace halogen::control::api::schema {

using nlohmann::json;

struct Field {
  const char* name;
  json schema;
  bool required = false;
};
inline Field required(const char* name, json schema) { return {name, std::move(schema), true}; }
inline Field optional(const char* name, json schema) { return {name, std::move(schema), false}; }

json text();
json text(int longest);  // In bytes, at least one: an empty one counts as absent.
json id();               // What we give: letters, digits and '-'.
json uuid();
json time();  // RFC 3339.
json choice(std::initializer_list<const char*> values);
json flag();
json whole();
json whole(int64_t least, int64_t most);
json number(double least);
json list(json items);
json list(json items, size_t most);
json map_of(json values);
json object(std::initializer_list<Field> fields);
json ref(const char* component);  // Of the document that this is a part of.
json nullable(json schema);
json described(json schema, const char* description);

// Throws invalid_argument, naming the place as "project.settings.quota", unless the value is what
// the schema says. Unknown members may be anything. Null and "" count as absent, wherever. A
// reference is to `components`.
void check(const json& schema, const json& value, const std::string& place, const json& components);

// The same of a parameter of the query, which is text. Requires a schema of one plain value.
void check_parameter(const json& schema, const std::string& value, const std::string& name);

}  // namespace halogen::control::api::schema
