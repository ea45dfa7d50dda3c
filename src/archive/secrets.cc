#include "archive/secrets.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "archive/formats.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"

namespace halogen::archive {
namespace {

constexpr size_t kSalt = 16;
constexpr size_t kNonce = 12;
constexpr size_t kTag = 16;
constexpr uint64_t kCost = 1 << 15;
constexpr uint64_t kMostMemory = 64 << 20;
constexpr size_t kMostFiles = 1000;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
using Key = std::array<unsigned char, 32>;

unsigned char* raw(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const char* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

Key derive(const std::string& passphrase, std::string_view salt) {
  Key key;
  CHECK(EVP_PBE_scrypt(passphrase.data(), passphrase.size(), raw(salt.data()), salt.size(), kCost,
                       8, 1, kMostMemory, key.data(), key.size()) == 1);
  return key;
}

std::string encode(const SecretFiles& files) {
  Writer out;
  out.put(static_cast<uint32_t>(files.size()));
  for (const auto& [path, content] : files) {
    out.put(static_cast<uint32_t>(path.size())).text(path);
    out.put(static_cast<uint32_t>(content.size())).text(content);
  }
  return out.take();
}

SecretFiles decode(std::string_view plain) {
  Reader in(plain);
  SecretFiles files;
  const auto count = in.get<uint32_t>();
  if (count > kMostFiles) throw Error(Errc::corrupt, "{} files of secrets", count);
  for (uint32_t i = 0; i < count; i++) {
    std::string path(as_text(in.take(in.get<uint32_t>())));
    if (path.empty() || path.front() == '/' || path.find("..") != path.npos)
      throw Error(Errc::corrupt, "a file of secrets named {}", path);
    files[path] = as_text(in.take(in.get<uint32_t>()));
  }
  return files;
}

}  // namespace

std::string seal(const SecretFiles& files, const std::string& passphrase) {
  const std::string plain = encode(files);
  std::string out(kSalt + kNonce + plain.size() + kTag, '\0');
  random_bytes(out.data(), kSalt + kNonce);
  const Key key = derive(passphrase, std::string_view(out).substr(0, kSalt));
  const Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  char* nonce = out.data() + kSalt;
  char* cipher = nonce + kNonce;
  int size = 0;
  CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), raw(nonce)) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), raw(cipher), &size, raw(plain.data()),
                          static_cast<int>(plain.size())) == 1);
  CHECK(EVP_EncryptFinal_ex(context.get(), raw(cipher) + size, &size) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTag, cipher + plain.size()) == 1);
  return wrap(out);
}

SecretFiles unseal(const std::string& sealed, const std::string& passphrase) {
  const std::string bytes = unwrap(as_bytes(sealed));
  if (bytes.size() < kSalt + kNonce + kTag) throw Error(Errc::corrupt, "sealed secrets are short");
  const Key key = derive(passphrase, std::string_view(bytes).substr(0, kSalt));
  const char* nonce = bytes.data() + kSalt;
  const char* cipher = nonce + kNonce;
  const size_t length = bytes.size() - kSalt - kNonce - kTag;
  std::string tag(bytes.substr(bytes.size() - kTag));
  std::string plain(length, '\0');
  const Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  CHECK(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), raw(nonce)) == 1);
  CHECK(EVP_DecryptUpdate(context.get(), raw(plain.data()), &size, raw(cipher),
                          static_cast<int>(length)) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1);
  if (EVP_DecryptFinal_ex(context.get(), raw(plain.data()) + size, &size) != 1)
    throw Error(Errc::permission_denied,
                "the secrets in the store were sealed with another key: see "
                "--object-store-key-file");
  return decode(plain);
}

}  // namespace halogen::archive
