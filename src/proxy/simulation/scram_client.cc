#include "proxy/simulation/scram_client.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/bytes.h"
#include "postgres/scram.h"

namespace halogen::proxy::simulation {
namespace {

constexpr size_t kSize = SHA256_DIGEST_LENGTH;
constexpr std::string_view kFirstBare = "n=,r=simulated";

const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string hmac(std::string_view key, std::string_view text) {
  std::string out(kSize, '\0');
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(text), text.size(),
       reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

std::string field(std::string_view message, char name) {
  std::string all = "," + std::string(message);
  size_t at = all.find(std::string{',', name, '='});
  size_t begin = at + 3;
  return all.substr(begin, all.find(',', begin) - begin);
}

}  // namespace

std::string scram_initial_response() {
  std::string first = "n,," + std::string(kFirstBare);
  Writer body;
  body.cstring(scram::kMechanism);
  body.be_put(static_cast<uint32_t>(first.size())).text(first);
  return std::string(body.view());
}

std::string scram_final(std::string_view password, std::string_view server_first) {
  std::string salt = scram::base64_decode(field(server_first, 's')).value_or("");
  std::string salted(kSize, '\0');
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), raw(salt),
                    static_cast<int>(salt.size()), std::stoi(field(server_first, 'i')),
                    EVP_sha256(), kSize, reinterpret_cast<unsigned char*>(salted.data()));
  std::string key = hmac(salted, "Client Key");
  std::string stored(kSize, '\0');
  SHA256(raw(key), key.size(), reinterpret_cast<unsigned char*>(stored.data()));
  std::string without_proof = "c=biws,r=" + field(server_first, 'r');
  std::string proof =
      hmac(stored, fmt::format("{},{},{}", kFirstBare, server_first, without_proof));
  for (size_t i = 0; i < kSize; i++) proof[i] = static_cast<char>(proof[i] ^ key[i]);
  return without_proof + ",p=" + scram::base64_encode(proof);
}

}  // namespace halogen::proxy::simulation
