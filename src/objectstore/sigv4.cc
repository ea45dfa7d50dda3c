#include "objectstore/sigv4.h"

#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/url.h"

namespace halogen::objectstore {
namespace {

constexpr const char* kAlgorithm = "AWS4-HMAC-SHA256";

std::string hmac(std::string_view key, std::string_view text) {
  unsigned char out[SHA256_DIGEST_LENGTH];
  unsigned int size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(), out,
             &size) != nullptr);
  return std::string(reinterpret_cast<char*>(out), size);
}

std::string names_of(const std::map<std::string, std::string>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string canonical(const RequestToSign& request) {
  std::string text = request.method + "\n" + encoded_path(request.path) + "\n" +
                     encoded_query(request.query) + "\n";
  for (const auto& [name, value] : request.headers) text += name + ":" + value + "\n";
  return text + "\n" + names_of(request.headers) + "\n" + request.payload_sha256;
}

}  // namespace

std::string encoded_path(std::string_view path) {
  std::string out;
  for (size_t at = 0; at < path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    out += url_encoded(path.substr(at, slash - at));
    if (slash < path.size()) out += '/';
    at = slash + 1;
  }
  return out;
}

std::string encoded_query(const std::map<std::string, std::string>& query) {
  std::string out;
  for (const auto& [name, value] : query)
    out += (out.empty() ? "" : "&") + url_encoded(name) + "=" + url_encoded(value);
  return out;
}

std::string sha256_hex(std::string_view bytes) {
  unsigned char out[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out);
  return to_hex(Bytes(reinterpret_cast<const std::byte*>(out), sizeof out));
}

std::string sign(const RequestToSign& request, const Credentials& credentials,
                 const std::string& region) {
  const std::string date = request.time.substr(0, 8);
  const std::string scope = date + "/" + region + "/s3/aws4_request";
  const std::string text = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, request.time, scope,
                                       sha256_hex(canonical(request)));
  const std::string key =
      hmac(hmac(hmac(hmac("AWS4" + credentials.secret_key, date), region), "s3"), "aws4_request");
  return fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                     credentials.access_key, scope, names_of(request.headers),
                     to_hex(as_bytes(hmac(key, text))));
}

}  // namespace halogen::objectstore
