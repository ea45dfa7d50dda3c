#include "proxy/http/upgrade.h"

#include <openssl/evp.h>

#include <algorithm>

#include "postgres/scram.h"

namespace halogen::proxy {
namespace {

constexpr std::string_view kProtocolId = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeySize = 16;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

std::string in_lower_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

std::string accept_value(std::string_view key) {
  std::string text = std::string(key) + std::string(kProtocolId);
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), hash, &size, EVP_sha1(), nullptr) == 1);
  return scram::base64_encode({reinterpret_cast<const char*>(hash), size});
}

}  // namespace

HttpResponse answer_upgrade(const HttpRequest& request) {
  if (in_lower_case(request.header("upgrade")) != "websocket")
    throw HttpError(400, "no such protocol to upgrade to: only websocket");
  if (request.header("sec-websocket-version") != "13")
    return {426, {{"Sec-WebSocket-Version", "13"}}, {}};
  std::string_view key = request.header("sec-websocket-key");
  std::optional<std::string> random = scram::base64_decode(key);
  if (!random || random->size() != kKeySize)
    throw HttpError(400, "a WebSocket's key is 16 bytes in base64");
  return {101,
          {{"Upgrade", "websocket"},
           {"Connection", "Upgrade"},
           {"Sec-WebSocket-Accept", accept_value(key)}},
          {}};
}

std::string host_name(std::string_view header) {
  return in_lower_case(header.substr(0, header.find(':')));
}

}  // namespace halogen::proxy
