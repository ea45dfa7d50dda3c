// json_text.h: JSON's texts made, and values turned from what Postgres prints into JSON. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace halogen::proxy {

// As a JSON string. Bytes that are no UTF-8 (a database of encoding SQL_ASCII) become U+FFFD.
void put_json_string(std::string& out, std::string_view text);
// A value that Postgres printed, as the JSON that is nearest to its type: booleans, numbers of up
// to 32 bits and floating point (unless NaN or infinite), json, and arrays of built-in types. All
// else is a string.
void put_json_value(std::string& out, std::string_view text, uint32_t type);

}  // namespace halogen::proxy
