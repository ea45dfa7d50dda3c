// secrets.h: the files that the catalog and clients need on a new machine (keys of passwords, the
// certificates' private keys), sealed with a passphrase that is the operator's.
//
// scrypt (N = 2^15, r = 8, p = 1) makes a key of the passphrase and a random salt; AES-256-GCM
// seals.
#pragma once
#include <map>
#include <string>

namespace halogen::archive {

using SecretFiles = std::map<std::string, std::string>;  // Content by path in the home.

std::string seal(const SecretFiles& files, const std::string& passphrase);
// Throws permission_denied if it is another passphrase, or the bytes were changed; corrupt.
SecretFiles unseal(const std::string& sealed, const std::string& passphrase);

}  // namespace halogen::archive
