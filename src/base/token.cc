#include "base/token.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/error.h"

namespace halogen {

Token Token::random() {
  Token token;
  random_bytes(token.bytes.data(), token.bytes.size());
  return token;
}

std::string Token::str() const { return to_hex(std::as_bytes(std::span(bytes))); }

std::optional<Token> Token::parse(std::string_view hex) {
  Token token;
  try {
    from_hex(hex, std::as_writable_bytes(std::span(token.bytes)));
  } catch (const Error&) {
    return std::nullopt;
  }
  return token;
}

Id<Token::NameTag> Token::name() const {
  Id<NameTag> name;
  std::copy_n(bytes.begin(), kHalf, name.bytes.begin());
  return name;
}

bool Token::same_secret(const Token& other) const {
  unsigned difference = 0;
  for (size_t i = kHalf; i < bytes.size(); ++i) difference |= bytes[i] ^ other.bytes[i];
  return difference == 0;
}

}  // namespace halogen
