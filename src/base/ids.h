// ids.h: 128-bit random identities, printed as 32 lower-case hex digits.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace halogen {

// Fills `size` bytes from the kernel's generator.
void random_bytes(void* to, size_t size);
// `size` random characters out of [0-9a-z].
std::string random_name(size_t size);
std::string random_uuid();  // Version 4.

template <typename Tag>
struct Id {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Id&) const = default;
  bool zero() const { return *this == Id(); }
  std::string str() const;
  // Throws invalid_argument.
  static Id parse(std::string_view hex);
  static Id random();
};

struct TenantTag;
struct TimelineTag;
using TenantId = Id<TenantTag>;      // A project's storage.
using TimelineId = Id<TimelineTag>;  // A branch's history.

extern template struct Id<TenantTag>;
extern template struct Id<TimelineTag>;

struct IdHash {
  template <typename Tag>
  size_t operator()(const Id<Tag>& id) const {
    size_t hash;
    std::memcpy(&hash, id.bytes.data(), sizeof hash);
    return hash;
  }
};

}  // namespace halogen
