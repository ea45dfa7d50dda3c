// certificates.h: our own certificate authority and the server's certificate, made at setup.
//
// ca.crt, ca.key, server.crt, server.key in one folder; keys are 0600, ca.crt is for everyone. Not
// safe from two processes at once (a HALOGEN_HOME belongs to one).
#pragma once
#include <string>

#include "base/file.h"

namespace halogen::proxy {

struct CertificateFiles {
  fs::path ca;
  fs::path certificate;
  fs::path key;
};

// Keeps what is there and good; makes what is missing, near its end, of other names or of another
// CA. `region` may be empty. The server's names: *.<domain>, *.<region>.<domain>, <domain>,
// localhost, 127.0.0.1, ::1. Throws io; corrupt if the CA's files cannot be read as such (they are
// never replaced on their own: clients trust them).
CertificateFiles make_certificates(const fs::path& directory, const std::string& domain,
                                   const std::string& region);

// 32 random bytes, made once and kept in `file` (0600).
std::string keep_secret(const fs::path& file);

}  // namespace halogen::proxy
