#include "proxy/auth/known_passwords.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/error.h"
#include "base/ids.h"

namespace halogen::proxy {
namespace {

constexpr size_t kKeySize = 32;

std::string random_key() {
  std::string key(kKeySize, '\0');
  random_bytes(key.data(), key.size());
  return key;
}

}  // namespace

KnownPasswords::KnownPasswords(size_t most) : most_(most), key_(random_key()) {}

// No verifier has a zero byte in it.
std::string KnownPasswords::digest(const scram::Verifier& verifier,
                                   std::string_view password) const {
  std::string message = verifier.str();
  message.push_back('\0');
  message.append(password);
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  CHECK(HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(), hash,
             &size) != nullptr);
  return std::string(reinterpret_cast<const char*>(hash), size);
}

bool KnownPasswords::contains(const std::string& digest) {
  MutexLock lock(mutex_);
  auto found = places_.find(digest);
  if (found == places_.end()) return false;
  uses_.splice(uses_.begin(), uses_, found->second);
  return true;
}

void KnownPasswords::add(const std::string& digest) {
  MutexLock lock(mutex_);
  if (places_.contains(digest)) return;
  uses_.push_front(digest);
  places_.emplace(uses_.front(), uses_.begin());
  if (uses_.size() <= most_) return;
  places_.erase(uses_.back());
  uses_.pop_back();
}

}  // namespace halogen::proxy
