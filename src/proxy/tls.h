// tls.h: the server's side of TLS 1.2 and 1.3, set up for many idle connections.
#pragma once
#include <string>

#include "proxy/certificates.h"

struct ssl_st;
struct ssl_ctx_st;

namespace halogen::proxy {

// Safe from any thread once made.
class TlsContext {
 public:
  // Throws corrupt if the files cannot be used.
  explicit TlsContext(const CertificateFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // A connection over a non-blocking socket, waiting for the client's hello. The caller frees it.
  ssl_st* accept(int socket) const;
  // Channel binding data of the certificate (tls-server-end-point).
  const std::string& certificate_hash() const { return certificate_hash_; }

 private:
  ssl_ctx_st* context_;
  std::string certificate_hash_;
};

// The host the client asked for; "" if it did not say.
std::string sni_of(const ssl_st* ssl);
// The client asked for the protocol "postgresql".
bool alpn_agreed(const ssl_st* ssl);
// The newest of this thread's OpenSSL errors, and clears them.
std::string tls_error();

}  // namespace halogen::proxy
