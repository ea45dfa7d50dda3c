#include "proxy/http/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace halogen::proxy {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr int kMostNested = 6;                             // Dimensions: Postgres' MAXDIM.

enum class Kind { string, boolean, number, json };

// OIDs never change (catalog/pg_type.dat).
Kind kind_of(uint32_t type) {
  switch (type) {
    case 16:  // bool
      return Kind::boolean;
    case 21:   // int2
    case 23:   // int4
    case 700:  // float4
    case 701:  // float8
      return Kind::number;
    case 114:   // json
    case 3802:  // jsonb
      return Kind::json;
    default:
      return Kind::string;
  }
}

struct ArrayType {
  uint32_t array;
  uint32_t element;
};
constexpr ArrayType kTypedArrays[] = {{1000, 16},  {1005, 21}, {1007, 23},  {1021, 700},
                                      {1022, 701}, {199, 114}, {3807, 3802}};
// Whose elements are strings in JSON, and which are separated by commas.
constexpr uint32_t kStringArrays[] = {
    143,  271,  629,  651,  719,  775,  791,  1001, 1002, 1003, 1006, 1008, 1009,
    1010, 1011, 1012, 1013, 1014, 1015, 1016, 1017, 1018, 1019, 1027, 1028, 1040,
    1041, 1115, 1182, 1183, 1185, 1187, 1231, 1270, 1561, 1563, 2201, 2207, 2208,
    2209, 2210, 2211, 2949, 2951, 3221, 3643, 3644, 3645, 3735, 3770, 3905, 3907,
    3909, 3911, 3913, 3927, 4073, 4090, 4097, 6150, 6151, 6152, 6153, 6155, 6157};

std::optional<Kind> element_kind(uint32_t type) {
  for (const ArrayType& known : kTypedArrays)
    if (known.array == type) return kind_of(known.element);
  if (std::find(std::begin(kStringArrays), std::end(kStringArrays), type) !=
      std::end(kStringArrays))
    return Kind::string;
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t skip_digits(std::string_view text, size_t at) {
  while (at < text.size() && is_digit(text[at])) at++;
  return at;
}

// By JSON's grammar.
bool is_json_number(std::string_view text) {
  size_t at = text.starts_with('-') ? 1 : 0;
  size_t end = skip_digits(text, at);
  if (end == at || (text[at] == '0' && end > at + 1)) return false;
  if (end < text.size() && text[end] == '.') {
    at = end + 1;
    end = skip_digits(text, at);
    if (end == at) return false;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    at = end + 1;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) at++;
    end = skip_digits(text, at);
    if (end == at) return false;
  }
  return end == text.size();
}

void put_of_kind(std::string& out, std::string_view text, Kind kind) {
  if (kind == Kind::boolean && (text == "t" || text == "f"))
    out += text == "t" ? "true" : "false";
  else if ((kind == Kind::number && is_json_number(text)) || (kind == Kind::json && !text.empty()))
    out += text;
  else
    put_json_string(out, text);
}

// Reads an array as Postgres prints it, "{1,NULL,"a\"b",{...}}", and writes JSON's.
class ArrayText {
 public:
  ArrayText(std::string_view text, Kind kind) : rest_(text), kind_(kind) {}

  // False if it is none: `out` is to be thrown away.
  bool put(std::string& out) {
    // Bounds that do not begin at 1: "[2:3]={...}".
    if (rest_.starts_with('[')) rest_.remove_prefix(std::min(rest_.find('=') + 1, rest_.size()));
    return put_array(out, 1) && rest_.empty();
  }

 private:
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool put_array(std::string& out, int depth) {
    if (depth > kMostNested || !take('{')) return false;
    out.push_back('[');
    if (!take('}')) {
      do {
        if (!put_element(out, depth)) return false;
        if (!rest_.starts_with('}')) out.push_back(',');
      } while (take(','));
      if (!take('}')) return false;
    }
    out.push_back(']');
    return true;
  }

  bool put_element(std::string& out, int depth) {
    if (rest_.starts_with('{')) return put_array(out, depth + 1);
    if (take('"')) return put_quoted(out);
    size_t size = rest_.find_first_of(",}");
    if (size == rest_.npos) return false;
    std::string_view element = rest_.substr(0, size);
    rest_.remove_prefix(size);
    if (element == "NULL")
      out += "null";
    else
      put_of_kind(out, element, kind_);
    return true;
  }

  bool put_quoted(std::string& out) {
    std::string element;
    while (!rest_.empty() && rest_[0] != '"') {
      if (rest_[0] == '\\') rest_.remove_prefix(1);
      if (rest_.empty()) return false;
      element.push_back(rest_[0]);
      rest_.remove_prefix(1);
    }
    if (!take('"')) return false;
    put_of_kind(out, element, kind_);
    return true;
  }

  std::string_view rest_;
  const Kind kind_;
};

// How many of the first bytes are one character of UTF-8; 0: they are none.
size_t utf8_size(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(0);
  size_t size = first < 0x80   ? 1
                : first < 0xc2 ? 0
                : first < 0xe0 ? 2
                : first < 0xf0 ? 3
                : first < 0xf5 ? 4
                               : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; i++)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  bool wrong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
               (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return wrong ? 0 : size;
}

bool is_plain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

void put_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  }
}

}  // namespace

void put_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && is_plain(text[plain])) plain++;
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      put_escaped(out, text[0]);
      text.remove_prefix(1);
      continue;
    }
    size_t size = utf8_size(text);
    out.append(size > 0 ? text.substr(0, size) : kReplacement);
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  out.push_back('"');
}

void put_json_value(std::string& out, std::string_view text, uint32_t type) {
  std::optional<Kind> of_elements = element_kind(type);
  if (!of_elements) return put_of_kind(out, text, kind_of(type));
  size_t before = out.size();
  if (ArrayText(text, *of_elements).put(out)) return;
  out.resize(before);
  put_json_string(out, text);
}

}  // namespace halogen::proxy
