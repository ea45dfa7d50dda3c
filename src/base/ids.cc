#include "base/ids.h"

#include <sys/random.h>

#include "base/bytes.h"
#include "base/error.h"

namespace halogen {

void random_bytes(void* to, size_t size) {
  auto* at = static_cast<char*>(to);
  while (size > 0) {
    ssize_t got = getrandom(at, size, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      die("getrandom failed");
    }
    at += got;
    size -= static_cast<size_t>(got);
  }
}

std::string random_name(size_t size) {
  static constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string name;
  while (name.size() < size) {
    uint8_t byte;
    random_bytes(&byte, 1);
    if (byte < 252) name.push_back(kAlphabet[byte % 36]);  // 252 = 7 * 36: no bias.
  }
  return name;
}

std::string random_uuid() {
  std::array<std::byte, 16> raw;
  random_bytes(raw.data(), raw.size());
  raw[6] = (raw[6] & std::byte{0x0F}) | std::byte{0x40};
  raw[8] = (raw[8] & std::byte{0x3F}) | std::byte{0x80};
  std::string hex = to_hex(raw);
  for (size_t at : {20, 16, 12, 8}) hex.insert(at, 1, '-');
  return hex;
}

template <typename Tag>
std::string Id<Tag>::str() const {
  return to_hex(std::as_bytes(std::span(bytes)));
}

template <typename Tag>
Id<Tag> Id<Tag>::parse(std::string_view hex) {
  Id id;
  from_hex(hex, std::as_writable_bytes(std::span(id.bytes)));
  return id;
}

template <typename Tag>
Id<Tag> Id<Tag>::random() {
  Id id;
  random_bytes(id.bytes.data(), id.bytes.size());
  return id;
}

template struct Id<TenantTag>;
template struct Id<TimelineTag>;

}  // namespace halogen
