// tls.h: the server's side of TLS 1.2 and 1.3, set up for many idle connections.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "proxy/io/certificates.h"

struct ssl_st;
struct ssl_ctx_st;

namespace halogen::proxy {

// Safe from any thread.
class TlsContext {
 public:
  // For protocols by their ALPN names, the best first: clients that offer others only are refused.
  // Throws corrupt if the files cannot be used.
  TlsContext(const CertificateFiles& files, std::vector<std::string> protocols);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // For new connections, if the certificate is another one now; those that are there keep theirs.
  // True if it was. Throws as the constructor does, and then goes on with what it had.
  bool reload(const CertificateFiles& files);

  // A connection over a non-blocking socket, waiting for the client's hello. The caller frees it.
  ssl_st* accept(int socket) const;

 private:
  const std::vector<std::string> protocols_;
  mutable Mutex mutex_;
  ssl_ctx_st* context_ GUARDED_BY(mutex_);
};

// Channel binding data of the certificate shown on this connection (tls-server-end-point); "" if it
// is not encrypted.
std::string certificate_hash(const ssl_st* ssl);

// The host the client asked for; "" if it did not say, or is not encrypted.
std::string sni_of(const ssl_st* ssl);
// Which of its context's protocols the client asked for; "" for none, or if it is not encrypted.
std::string_view agreed_protocol(const ssl_st* ssl);
// The newest of this thread's OpenSSL errors, and clears them.
std::string tls_error();

}  // namespace halogen::proxy
