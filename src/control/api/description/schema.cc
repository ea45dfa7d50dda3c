#include "control/api/description/schema.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "control/timestamp.h"

namespace halogen::control::api::schema {
namespace {

constexpr const char* kComponents = "#/components/schemas/";

template <typename... Args>
[[noreturn]] void refuse(const std::string& place, fmt::format_string<Args...> format,
                         Args&&... args) {
  throw Error(Errc::invalid_argument, "{} {}", place.empty() ? "the body" : place,
              fmt::format(format, std::forward<Args>(args)...));
}

std::string with_article(std::string_view type) {
  if (type == "boolean") return "true or false";
  if (type == "array") return "a list";
  return fmt::format("{} {}", type == "integer" || type == "object" ? "an" : "a", type);
}

bool has_type(const json& value, std::string_view type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "number") return value.is_number();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  // What does not fit into 64 bits with a sign would come out as another number.
  return value.is_number_integer() &&
         (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
}

std::string choices(const json& values) {
  std::string out;
  for (const json& value : values)
    out += (out.empty() ? "" : ", ") + value.get_ref<const std::string&>();
  return out;
}

void check_text(const json& schema, const std::string& text, const std::string& place) {
  if (auto values = schema.find("enum"); values != schema.end())
    if (std::ranges::find(*values, json(text)) == values->end())
      refuse(place, "must be one of: {}", choices(*values));
  if (auto most = schema.find("maxLength"); most != schema.end() && text.size() > *most)
    refuse(place, "is longer than {} bytes", most->get<size_t>());
  if (schema.value("format", "") == "date-time" && !parse_timestamp(text))
    refuse(place, "must be a time with its zone, as 2026-11-23T01:26:10Z");
}

void check_number(const json& schema, const json& value, const std::string& place) {
  if (auto least = schema.find("minimum"); least != schema.end() && value < *least)
    refuse(place, "must be at least {}", least->dump());
  if (auto most = schema.find("maximum"); most != schema.end() && value > *most)
    refuse(place, "must be at most {}", most->dump());
}

bool is_absent(const json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

void check_object(const json& schema, const json& value, const std::string& place,
                  const json& components) {
  const std::string prefix = place.empty() ? "" : place + ".";
  for (const json& name : schema.value("required", json::array())) {
    auto found = value.find(name.get_ref<const std::string&>());
    if (found == value.end() || is_absent(*found))
      refuse(prefix + name.get<std::string>(), "is required");
  }
  const json properties = schema.value("properties", json::object());
  auto others = schema.find("additionalProperties");
  for (const auto& [name, member] : value.items()) {
    if (auto known = properties.find(name); known != properties.end())
      check(*known, member, prefix + name, components);
    else if (others != schema.end() && others->is_object())
      check(*others, member, prefix + name, components);
  }
}

void check_list(const json& schema, const json& value, const std::string& place,
                const json& components) {
  if (auto most = schema.find("maxItems"); most != schema.end() && value.size() > *most)
    refuse(place, "has more than {} members", most->get<size_t>());
  for (size_t i = 0; i < value.size(); ++i)
    check(schema.at("items"), value[i], fmt::format("{}[{}]", place, i), components);
}

}  // namespace

json text() { return {{"type", "string"}}; }
json text(int longest) { return {{"type", "string"}, {"minLength", 1}, {"maxLength", longest}}; }
json id() { return {{"type", "string"}, {"pattern", "^[a-z0-9-]{1,60}$"}}; }
json uuid() { return {{"type", "string"}, {"format", "uuid"}}; }
json time() { return {{"type", "string"}, {"format", "date-time"}}; }
json choice(std::initializer_list<const char*> values) {
  json names = json::array();
  for (const char* value : values) names.push_back(value);
  return {{"type", "string"}, {"enum", std::move(names)}};
}
json flag() { return {{"type", "boolean"}}; }
json whole() { return {{"type", "integer"}, {"format", "int64"}}; }
json whole(int64_t least, int64_t most) {
  return {{"type", "integer"}, {"minimum", least}, {"maximum", most}};
}
json number(double least) { return {{"type", "number"}, {"minimum", least}}; }
json list(json items) { return {{"type", "array"}, {"items", std::move(items)}}; }
json list(json items, size_t most) {
  return {{"type", "array"}, {"items", std::move(items)}, {"maxItems", most}};
}
json map_of(json values) {
  return {{"type", "object"}, {"additionalProperties", std::move(values)}};
}
json object(std::initializer_list<Field> fields) {
  json properties = json::object();
  json needed = json::array();
  for (const Field& field : fields) {
    properties[field.name] = field.schema;
    if (field.required) needed.push_back(field.name);
  }
  json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!needed.empty()) schema["required"] = std::move(needed);
  return schema;
}
json ref(const char* component) { return {{"$ref", std::string(kComponents) + component}}; }
json nullable(json schema) {
  schema["nullable"] = true;
  return schema;
}
json described(json schema, const char* description) {
  schema["description"] = description;
  return schema;
}

void check(const json& schema, const json& value, const std::string& place,
           const json& components) {
  if (auto named = schema.find("$ref"); named != schema.end()) {
    const std::string name = named->get<std::string>().substr(std::string_view(kComponents).size());
    return check(components.at(name), value, place, components);
  }
  if (is_absent(value) && !place.empty()) return;
  const std::string type = schema.value("type", "");
  if (type.empty()) return;  // Anything.
  if (!has_type(value, type)) refuse(place, "must be {}", with_article(type));
  if (type == "string") check_text(schema, value.get_ref<const std::string&>(), place);
  if (type == "integer" || type == "number") check_number(schema, value, place);
  if (type == "object") check_object(schema, value, place, components);
  if (type == "array") check_list(schema, value, place, components);
}

void check_parameter(const json& schema, const std::string& value, const std::string& name) {
  const std::string type = schema.value("type", "string");
  if (value.empty()) return;
  if (type == "string") return check_text(schema, value, name);
  if (type == "boolean" && value != "true" && value != "false")
    refuse(name, "must be true or false");
  if (type != "integer") return;
  int64_t number = 0;
  const char* end = value.data() + value.size();
  auto [parsed, failed] = std::from_chars(value.data(), end, number);
  if (failed != std::errc() || parsed != end) refuse(name, "must be an integer");
  check_number(schema, number, name);
}

}  // namespace halogen::control::api::schema
