// known_passwords.h: which passwords have been found right, so that a client that shows its own
// with every request costs microseconds and not milliseconds.
//
// What is kept of a password is a keyed hash of it and of the verifier that it matched, under a key
// that only this process has: it matches no other verifier, a changed one is checked anew, and what
// is in memory gives nothing to guess at. The least recently used goes first. Safe from any thread.
#pragma once
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"
#include "postgres/scram.h"

namespace halogen::proxy {

class KnownPasswords {
 public:
  explicit KnownPasswords(size_t most);

  // Names a password as one for this verifier.
  std::string digest(const scram::Verifier& verifier, std::string_view password) const;
  bool contains(const std::string& digest);
  void add(const std::string& digest);

 private:
  const size_t most_;
  const std::string key_;
  Mutex mutex_;
  std::list<std::string> uses_ GUARDED_BY(mutex_);  // The most recently used first.
  std::unordered_map<std::string_view, std::list<std::string>::iterator> places_ GUARDED_BY(mutex_);
};

}  // namespace halogen::proxy
