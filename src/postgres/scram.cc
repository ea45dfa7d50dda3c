#include "postgres/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <charconv>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"

namespace halogen::scram {
namespace {

constexpr size_t kSaltSize = 16;
constexpr size_t kNonceSize = 18;
constexpr int kMaxIterations = 10'000'000;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::string_view view(const Key& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

Key hmac(std::string_view key, std::string_view message) {
  Key out;
  unsigned int size = out.size();
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(message), message.size(),
             out.data(), &size) != nullptr);
  return out;
}

Key sha256(std::string_view bytes) {
  Key out;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), out.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return out;
}

Key salted_password(std::string_view password, std::string_view salt, int iterations) {
  Key out;
  CHECK(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), raw(salt),
                          static_cast<int>(salt.size()), iterations, EVP_sha256(), out.size(),
                          out.data()) == 1);
  return out;
}

std::string random_string(size_t size) {
  std::string bytes(size, '\0');
  random_bytes(bytes.data(), size);
  return bytes;
}

std::optional<Key> decode_key(std::string_view text) {
  std::optional<std::string> bytes = base64_decode(text);
  Key key;
  if (!bytes || bytes->size() != key.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

[[noreturn]] void malformed(std::string_view what) {
  throw Error(Errc::corrupt, "malformed SCRAM message: {}", what);
}

// Takes "<name>=<value>" up to the next comma (or the end) off `rest`.
std::string_view take_attribute(std::string_view& rest, char name) {
  if (rest.size() < 2 || rest[0] != name || rest[1] != '=') malformed("attribute expected");
  size_t end = std::min(rest.find(','), rest.size());
  std::string_view value = rest.substr(2, end - 2);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return value;
}

// RFC 5802: printable ASCII but the comma.
bool is_nonce(std::string_view text) {
  for (char c : text) {
    if (c < 0x21 || c > 0x7e || c == ',') return false;
  }
  return !text.empty();
}

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), raw(bytes),
                             static_cast<int>(bytes.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  if (text.ends_with("==")) {
    padding = 2;
  } else if (text.ends_with('=')) {
    padding = 1;
  }
  // OpenSSL skips white space and treats '-' as an end: neither is allowed here.
  for (char c : text.substr(0, text.size() - padding)) {
    bool known = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                 c == '+' || c == '/';
    if (!known) return std::nullopt;
  }
  std::string out(text.size() / 4 * 3, '\0');
  int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), raw(text),
                             static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  out.resize(static_cast<size_t>(size) - padding);
  return out;
}

std::string Verifier::str() const {
  return fmt::format("{}${}:{}${}:{}", kMechanism, iterations, base64_encode(salt),
                     base64_encode(view(stored_key)), base64_encode(view(server_key)));
}

std::optional<Verifier> parse_verifier(std::string_view text) {
  std::string prefix = fmt::format("{}$", kMechanism);
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  size_t colon = text.find(':');
  size_t dollar = text.find('$');
  size_t second = text.rfind(':');
  if (colon == text.npos || dollar == text.npos || !(colon < dollar && dollar < second))
    return std::nullopt;

  Verifier verifier;
  const char* end = text.data() + colon;
  auto [parsed, failed] = std::from_chars(text.data(), end, verifier.iterations);
  if (failed != std::errc() || parsed != end) return std::nullopt;
  if (verifier.iterations < 1 || verifier.iterations > kMaxIterations) return std::nullopt;
  auto salt = base64_decode(text.substr(colon + 1, dollar - colon - 1));
  auto stored = decode_key(text.substr(dollar + 1, second - dollar - 1));
  auto server = decode_key(text.substr(second + 1));
  if (!salt || salt->empty() || !stored || !server) return std::nullopt;
  verifier.salt = *salt;
  verifier.stored_key = *stored;
  verifier.server_key = *server;
  return verifier;
}

Verifier make_verifier(std::string_view password, std::string_view salt, int iterations) {
  Verifier verifier;
  verifier.iterations = iterations;
  verifier.salt = salt.empty() ? random_string(kSaltSize) : std::string(salt);
  Key salted = salted_password(password, verifier.salt, iterations);
  verifier.stored_key = sha256(view(hmac(view(salted), "Client Key")));
  verifier.server_key = hmac(view(salted), "Server Key");
  return verifier;
}

Verifier mock_verifier(std::string_view server_secret, std::string_view who) {
  Verifier verifier;
  verifier.salt = view(hmac(server_secret, fmt::format("salt {}", who))).substr(0, kSaltSize);
  verifier.stored_key = hmac(server_secret, fmt::format("stored {}", who));
  verifier.server_key = hmac(server_secret, fmt::format("server {}", who));
  return verifier;
}

bool check_password(const Verifier& verifier, std::string_view password) {
  Key key = make_verifier(password, verifier.salt, verifier.iterations).stored_key;
  return CRYPTO_memcmp(key.data(), verifier.stored_key.data(), key.size()) == 0;
}

Exchange::Exchange(Verifier verifier, std::string certificate_hash, std::string nonce)
    : verifier_(std::move(verifier)),
      certificate_hash_(std::move(certificate_hash)),
      nonce_(nonce.empty() ? base64_encode(random_string(kNonceSize)) : std::move(nonce)) {}

// "p=<type>," "y," or "n,", then an authorisation identity, which Postgres has no use for.
void Exchange::parse_gs2_header(std::string_view& rest, std::string_view mechanism) {
  std::string_view whole = rest;
  bool plus = mechanism == kMechanismPlus;
  if (!plus && mechanism != kMechanism) malformed("mechanism that was not offered");
  if (plus && certificate_hash_.empty()) malformed("mechanism that was not offered");
  if (rest.starts_with("p=")) {
    if (!plus) malformed("channel binding without -PLUS");
    if (take_attribute(rest, 'p') != "tls-server-end-point")
      throw Error(Errc::permission_denied, "unsupported SCRAM channel-binding type");
    binding_used_ = true;
  } else {
    if (plus) malformed("-PLUS without channel binding");
    if (rest.size() < 2 || (rest[0] != 'n' && rest[0] != 'y') || rest[1] != ',')
      malformed("unexpected channel-binding flag");
    // The client could bind and thinks that we cannot: someone between us took -PLUS off the list.
    if (rest[0] == 'y' && !certificate_hash_.empty())
      throw Error(Errc::permission_denied, "SCRAM channel binding negotiation error");
    rest.remove_prefix(2);
  }
  if (!rest.starts_with(',')) malformed("authorization identity is not supported");
  rest.remove_prefix(1);
  gs2_header_ = whole.substr(0, whole.size() - rest.size());
}

InitialResponse parse_initial_response(std::string_view body) {
  Reader in(body);
  InitialResponse response{in.cstring(), {}};
  auto size = in.be_get<uint32_t>();
  response.client_first = as_text(in.take(size));
  if (!in.empty()) malformed("more than an initial response");
  return response;
}

std::string Exchange::begin(std::string_view mechanism, std::string_view client_first) {
  std::string_view rest = client_first;
  parse_gs2_header(rest, mechanism);
  client_first_bare_ = rest;
  if (rest.starts_with("m=")) malformed("mandatory extension");
  take_attribute(rest, 'n');  // Postgres goes by the name in the startup packet, and so do we.
  std::string_view client_nonce = take_attribute(rest, 'r');
  if (!is_nonce(client_nonce)) malformed("nonce");
  nonce_.insert(0, client_nonce);
  server_first_ =
      fmt::format("r={},s={},i={}", nonce_, base64_encode(verifier_.salt), verifier_.iterations);
  return server_first_;
}

std::optional<std::string> Exchange::finish(std::string_view client_final) {
  size_t proof_at = client_final.rfind(",p=");
  if (proof_at == client_final.npos) malformed("no proof");
  std::string_view without_proof = client_final.substr(0, proof_at);
  std::optional<Key> proof = decode_key(client_final.substr(proof_at + 3));
  if (!proof) malformed("proof");

  std::string_view rest = without_proof;
  std::string binding = gs2_header_;
  if (binding_used_) binding += certificate_hash_;
  if (take_attribute(rest, 'c') != base64_encode(binding))
    throw Error(Errc::permission_denied, "SCRAM channel binding check failed");
  if (take_attribute(rest, 'r') != nonce_) malformed("nonce does not match");

  // ClientKey = proof XOR HMAC(StoredKey, messages), and StoredKey must be its hash.
  std::string messages = fmt::format("{},{},{}", client_first_bare_, server_first_, without_proof);
  Key client_key = hmac(view(verifier_.stored_key), messages);
  for (size_t i = 0; i < client_key.size(); i++) client_key[i] ^= (*proof)[i];
  Key stored_key = sha256(view(client_key));
  if (CRYPTO_memcmp(stored_key.data(), verifier_.stored_key.data(), stored_key.size()) != 0)
    return std::nullopt;
  return fmt::format("v={}", base64_encode(view(hmac(view(verifier_.server_key), messages))));
}

}  // namespace halogen::scram
