#include "base/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/error.h"

namespace halogen {
namespace {

constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

bool IpAddress::is_loopback() const {
  return v6_ ? *this == IpAddress::parse("::1") : bytes_[0] == 127;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != text.npos) return std::nullopt;
  std::string terminated(text);
  IpAddress address;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes_.data()) == 1) return address;
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes_.data()) != 1) return std::nullopt;
  if (std::equal(kMapped.begin(), kMapped.end(), address.bytes_.begin())) {
    std::copy(address.bytes_.begin() + 12, address.bytes_.end(), address.bytes_.begin());
    std::fill(address.bytes_.begin() + 4, address.bytes_.end(), 0);
  } else {
    address.v6_ = true;
  }
  return address;
}

std::string IpAddress::str() const {
  char text[INET6_ADDRSTRLEN];
  CHECK(::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text) != nullptr);
  return text;
}

IpAddress IpAddress::with_rest(int prefix, bool set) const {
  IpAddress result = *this;
  for (int bit = prefix; bit < bits(); bit++) {
    uint8_t& byte = result.bytes_[static_cast<size_t>(bit) / 8];
    auto mask = static_cast<uint8_t>(0x80 >> bit % 8);
    byte = static_cast<uint8_t>(set ? byte | mask : byte & ~mask);
  }
  return result;
}

}  // namespace halogen
