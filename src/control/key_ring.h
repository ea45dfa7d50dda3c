// key_ring.h: the keys with which the catalog's passwords are encrypted, and the file they are in.
//
// AES-256-GCM with a fresh nonce per value. A value names its key, so that several keys can be in
// use: the newest encrypts, all decrypt. It is bound to its `place` (which row it belongs to): a
// value that was moved to another row does not decrypt there.
//
// Not thread-safe: the catalog's mutex guards it.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace halogen::control {

class KeyRing {
 public:
  // Reads the file. Throws not_found if there is none, permission_denied if others than its owner
  // may read it, corrupt if it is no file of keys.
  static KeyRing read(const fs::path& file);
  // Makes a file with one new key; it is on disk, at mode 0600, when this returns.
  static KeyRing create(const fs::path& file);

  // Returns "<key id>:<nonce, ciphertext and tag in base64>".
  std::string encrypt(std::string_view text, std::string_view place) const;
  // Throws not_found if the key is not in the file; corrupt if encrypt() did not make `sealed` for
  // this place with this key.
  std::string decrypt(std::string_view sealed, std::string_view place) const;

  // From when this returns, on disk and here, a new key encrypts.
  void add_key();
  // Forgets all keys but the newest, on disk and here.
  void drop_older_keys();
  // Oldest first; never empty.
  std::vector<std::string> ids() const;
  const std::string& newest() const { return keys_.back().id; }
  // The id of the key that a value was encrypted with.
  static std::string_view key_of(std::string_view sealed);

 private:
  struct Key {
    std::string id;
    std::array<uint8_t, 32> bytes;
  };
  explicit KeyRing(fs::path file) : file_(std::move(file)) {}
  static Key new_key();
  static Key parse_key(std::string_view line, const fs::path& file);
  void replace(std::vector<Key> keys);

  fs::path file_;
  std::vector<Key> keys_;
};

}  // namespace halogen::control
