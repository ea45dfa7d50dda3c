#include "control/key_ring.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sstream>

#include "base/error.h"
#include "base/ids.h"
#include "postgres/scram.h"

namespace halogen::control {
namespace {

constexpr size_t kNonceSize = 12;
constexpr size_t kTagSize = 16;
constexpr size_t kIdSize = 8;
constexpr size_t kMostText = 1 << 20;  // OpenSSL counts in int.

constexpr const char* kHeader =
    "# The keys of the passwords in Halogen's catalog: <id> <AES-256 key in base64>, newest last.\n"
    "# Whoever has this file and the catalog has the passwords; whoever loses it loses them. Keep\n"
    "# a copy of it, apart from the catalog's. See docs/operations, \"Keys\".\n";

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Context new_context() {
  Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  CHECK(context != nullptr);
  return context;
}

unsigned char* raw(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
int length(std::string_view bytes) { return static_cast<int>(bytes.size()); }

// Returns nonce, ciphertext, tag.
std::string gcm_encrypt(const uint8_t* key, std::string_view text, std::string_view place) {
  std::string out(kNonceSize + text.size() + kTagSize, '\0');
  random_bytes(out.data(), kNonceSize);
  Context context = new_context();
  int size = 0;
  CHECK(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key, raw(out.data())) == 1);
  CHECK(EVP_EncryptUpdate(context.get(), nullptr, &size, raw(place), length(place)) == 1);
  char* cipher = out.data() + kNonceSize;
  CHECK(EVP_EncryptUpdate(context.get(), raw(cipher), &size, raw(text), length(text)) == 1);
  CHECK(EVP_EncryptFinal_ex(context.get(), raw(cipher) + size, &size) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, cipher + text.size()) ==
        1);
  return out;
}

// Returns false if `sealed` was not made by gcm_encrypt() with this key and for this place.
bool gcm_decrypt(const uint8_t* key, std::string_view sealed, std::string_view place,
                 std::string& text) {
  if (sealed.size() < kNonceSize + kTagSize || sealed.size() > kMostText) return false;
  std::string_view cipher = sealed.substr(kNonceSize, sealed.size() - kNonceSize - kTagSize);
  std::string tag(sealed.substr(sealed.size() - kTagSize));
  text.assign(cipher.size(), '\0');
  Context context = new_context();
  int size = 0;
  CHECK(EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key, raw(sealed)) == 1);
  CHECK(EVP_DecryptUpdate(context.get(), nullptr, &size, raw(place), length(place)) == 1);
  CHECK(EVP_DecryptUpdate(context.get(), raw(text.data()), &size, raw(cipher), length(cipher)) ==
        1);
  CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()) == 1);
  return EVP_DecryptFinal_ex(context.get(), raw(text.data()) + size, &size) == 1;
}

void check_private(const fs::path& file) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) return;  // Reading it says why.
  if ((info.st_mode & 0077) == 0) return;
  throw Error(Errc::permission_denied,
              "others than its owner may use {}, so its keys are secret no more: chmod 600 it, and "
              "change them with: halogen keys rotate",
              file.string());
}

}  // namespace

KeyRing::Key KeyRing::new_key() {
  Key key{random_name(kIdSize), {}};
  random_bytes(key.bytes.data(), key.bytes.size());
  return key;
}

KeyRing::Key KeyRing::parse_key(std::string_view line, const fs::path& file) {
  size_t space = std::min(line.find(' '), line.size());
  Key key{std::string(line.substr(0, space)), {}};
  std::optional<std::string> bytes =
      scram::base64_decode(line.substr(std::min(space + 1, line.size())));
  if (key.id.empty() || key.id.find(':') != key.id.npos || !bytes ||
      bytes->size() != key.bytes.size())
    throw Error(Errc::corrupt, "{} is damaged: a line of it is no key. Put back a copy of it",
                file.string());
  std::copy(bytes->begin(), bytes->end(), key.bytes.begin());
  return key;
}

KeyRing KeyRing::read(const fs::path& file) {
  check_private(file);
  KeyRing ring(file);
  std::istringstream lines(read_file(file));
  std::string line;
  while (std::getline(lines, line))
    if (!line.empty() && line[0] != '#') ring.keys_.push_back(parse_key(line, file));
  if (ring.keys_.empty())
    throw Error(Errc::corrupt, "{} is damaged: there is no key in it. Put back a copy of it",
                file.string());
  return ring;
}

KeyRing KeyRing::create(const fs::path& file) {
  KeyRing ring(file);
  ring.replace({new_key()});
  return ring;
}

void KeyRing::replace(std::vector<Key> keys) {
  std::string text = kHeader;
  for (const Key& key : keys) {
    std::string_view bytes(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
    text += key.id + " " + scram::base64_encode(bytes) + "\n";
  }
  write_file_durably(file_, text, 0600);
  keys_ = std::move(keys);
}

void KeyRing::add_key() {
  std::vector<Key> keys = keys_;
  keys.push_back(new_key());
  replace(std::move(keys));
}

void KeyRing::drop_older_keys() { replace({keys_.back()}); }

std::vector<std::string> KeyRing::ids() const {
  std::vector<std::string> ids;
  for (const Key& key : keys_) ids.push_back(key.id);
  return ids;
}

std::string_view KeyRing::key_of(std::string_view sealed) {
  return sealed.substr(0, std::min(sealed.find(':'), sealed.size()));
}

std::string KeyRing::encrypt(std::string_view text, std::string_view place) const {
  if (text.size() > kMostText / 2) throw Error(Errc::invalid_argument, "the password is too long");
  const Key& key = keys_.back();
  return key.id + ":" + scram::base64_encode(gcm_encrypt(key.bytes.data(), text, place));
}

std::string KeyRing::decrypt(std::string_view sealed, std::string_view place) const {
  std::string id(key_of(sealed));
  auto key = std::ranges::find(keys_, id, &Key::id);
  if (key == keys_.end())
    throw Error(Errc::not_found, "the key \"{}\" is not in {}", id, file_.string());
  std::optional<std::string> bytes =
      scram::base64_decode(sealed.substr(std::min(id.size() + 1, sealed.size())));
  std::string text;
  if (!bytes || !gcm_decrypt(key->bytes.data(), *bytes, place, text))
    throw Error(Errc::corrupt,
                "a password in the catalog is not what was written, or the key \"{}\" "
                "in {} is another one",
                id, file_.string());
  return text;
}

}  // namespace halogen::control
