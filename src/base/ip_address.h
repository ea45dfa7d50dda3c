// ip_address.h: an IPv4 or IPv6 address, without its port. Pure; parses text from outside.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halogen {

// An IPv4 address that is written as IPv6 (::ffff:1.2.3.4) is the IPv4 address.
class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0

  // nullopt for what is not one: names, zones (%eth0), ports, spaces.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v6() const { return v6_; }
  // This machine, as it calls itself.
  bool is_loopback() const;
  int bits() const { return v6_ ? 128 : 32; }
  std::string str() const;
  // The rest of the bits cleared, or set: the first and the last address of its network.
  IpAddress first_of(int prefix) const { return with_rest(prefix, false); }
  IpAddress last_of(int prefix) const { return with_rest(prefix, true); }

  // All of IPv4 before all of IPv6, then by number.
  auto operator<=>(const IpAddress&) const = default;

 private:
  IpAddress with_rest(int prefix, bool set) const;

  bool v6_ = false;
  std::array<uint8_t, 16> bytes_{};  // Of IPv4 the first four.
};

}  // namespace halogen
