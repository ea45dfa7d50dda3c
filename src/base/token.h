// token.h: unguessable names of grants: who shows one may do what it was made for.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/ids.h"

namespace halogen {

// 32 random bytes. The first half is what a table is searched by, the second is compared in time
// that does not depend on where it differs, so that no half of a guess is told right.
struct Token {
  static constexpr size_t kHalf = 16;
  std::array<uint8_t, 2 * kHalf> bytes{};

  static Token random();
  // 64 hex digits.
  std::string str() const;
  // nullopt if it is none.
  static std::optional<Token> parse(std::string_view hex);

  struct NameTag;
  Id<NameTag> name() const;
  bool same_secret(const Token& other) const;
};

// What tokens stand for. Not for several threads at once.
template <typename Grant>
class TokenTable {
 public:
  Token add(Grant grant) {
    Token token = Token::random();
    grants_.insert_or_assign(token.name(), Entry{token, std::move(grant)});
    return token;
  }
  // Null if there is none. Valid until the table changes.
  Grant* find(const Token& token) {
    auto found = grants_.find(token.name());
    bool known = found != grants_.end() && found->second.token.same_secret(token);
    return known ? &found->second.grant : nullptr;
  }
  void remove(const Token& token) {
    if (find(token)) grants_.erase(token.name());
  }
  // Removes those for which `over(grant)` holds.
  template <typename Over>
  void remove_if(Over over) {
    std::erase_if(grants_, [&](auto& entry) { return over(entry.second.grant); });
  }
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [name, entry] : grants_) visit(entry.grant);
  }
  size_t size() const { return grants_.size(); }

 private:
  struct Entry {
    Token token;
    Grant grant;
  };
  std::unordered_map<Id<Token::NameTag>, Entry, IdHash> grants_;
};

}  // namespace halogen
