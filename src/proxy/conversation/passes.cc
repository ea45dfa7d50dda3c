#include "proxy/conversation/passes.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "protocol/session_state.h"

namespace halogen::proxy {
namespace {

std::string hex(const unsigned char* bytes, size_t size) {
  std::string out;
  for (size_t i = 0; i < size; i++) fmt::format_to(std::back_inserter(out), "{:02x}", bytes[i]);
  return out;
}

}  // namespace

Passes::Passes() {
  unsigned char bytes[HALOGEN_SESSION_SECRET_SIZE / 2];
  random_bytes(bytes, sizeof bytes);
  secret_ = hex(bytes, sizeof bytes);
}

std::string Passes::next() {
  std::string number = std::to_string(++last_);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const auto* text = reinterpret_cast<const unsigned char*>(number.data());
  CHECK(::HMAC(::EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()), text,
               number.size(), mac, &size) != nullptr);
  return number + "." + hex(mac, size);
}

}  // namespace halogen::proxy
