#include "proxy/io/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <string_view>

#include "base/error.h"

namespace halogen::proxy {
namespace {

constexpr long kTicketLife = 2 * 3600;  // Seconds.

// Agrees to the best of our protocols that is offered; others alone end the handshake.
int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned int in_size, void* protocols) {
  for (const std::string& ours : *static_cast<const std::vector<std::string>*>(protocols)) {
    for (unsigned int at = 0; at < in_size; at += 1u + in[at]) {
      std::string_view name(reinterpret_cast<const char*>(in + at + 1), in[at]);
      if (name != ours) continue;
      *out = in + at + 1;
      *out_size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Any name will do: which endpoint it is, if any, is found out later. Called when the version is
// settled: the tickets of TLS 1.2 would let whoever learns our ticket key read past connections.
int accept_name(SSL* ssl, int*, void*) {
  if (SSL_version(ssl) < TLS1_3_VERSION) SSL_set_options(ssl, SSL_OP_NO_TICKET);
  return SSL_TLSEXT_ERR_OK;
}

// TLS 1.3 clients that keep their sessions (JDBC, .NET) come back without certificate and
// signature. One ticket each, which holds the whole session: we keep nothing. Without a session id
// context OpenSSL would issue tickets and then fail those who use them.
void set_up_resumption(SSL_CTX* context, const std::string& protocol) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_timeout(context, kTicketLife);
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(protocol.data()),
                                 static_cast<unsigned int>(protocol.size()));
  SSL_CTX_set_tlsext_servername_callback(context, accept_name);
}

void set_up(SSL_CTX* context, const std::vector<std::string>& protocols) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_max_early_data(context, 0);  // It could be replayed.
  set_up_resumption(context, protocols.back());
  // The cheapest groups first, and none of the slow ones: a handshake is most of what a client that
  // comes and goes costs.
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
  // An idle connection holds no buffers; a busy one reads as much as there is in one call.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_alpn_select_cb(context, select_alpn,
                             const_cast<std::vector<std::string>*>(&protocols));
}

// `protocols` outlive it.
SSL_CTX* make_context(const CertificateFiles& files, const std::vector<std::string>& protocols) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  CHECK(context != nullptr);
  set_up(context, protocols);
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    SSL_CTX_free(context);
    throw Error(Errc::corrupt, "cannot use the server certificate {}: {}",
                files.certificate.string(), tls_error());
  }
  return context;
}

}  // namespace

TlsContext::TlsContext(const CertificateFiles& files, std::vector<std::string> protocols)
    : protocols_(std::move(protocols)), context_(make_context(files, protocols_)) {}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

bool TlsContext::reload(const CertificateFiles& files) {
  SSL_CTX* fresh = make_context(files, protocols_);
  MutexLock lock(mutex_);
  bool same = X509_cmp(SSL_CTX_get0_certificate(fresh), SSL_CTX_get0_certificate(context_)) == 0;
  if (!same) std::swap(fresh, context_);
  SSL_CTX_free(fresh);  // Connections that were made with it hold it.
  return !same;
}

SSL* TlsContext::accept(int socket) const {
  SSL* ssl = nullptr;
  {
    MutexLock lock(mutex_);
    ssl = SSL_new(context_);
  }
  if (ssl == nullptr || SSL_set_fd(ssl, socket) != 1) {
    SSL_free(ssl);
    throw Error(Errc::unavailable, "cannot begin TLS: {}", tls_error());
  }
  SSL_set_accept_state(ssl);
  return ssl;
}

// RFC 5929: the hash of the certificate's signature, but SHA-256 in place of MD5 and SHA-1.
std::string certificate_hash(const SSL* ssl) {
  if (ssl == nullptr) return {};
  X509* certificate = SSL_get_certificate(ssl);
  int digest = NID_undef;
  X509_get_signature_info(certificate, &digest, nullptr, nullptr, nullptr);
  if (digest == NID_undef || digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(certificate, EVP_get_digestbynid(digest), hash, &size) != 1)
    throw Error(Errc::internal, "cannot hash the server certificate: {}", tls_error());
  return std::string(reinterpret_cast<char*>(hash), size);
}

std::string sni_of(const SSL* ssl) {
  if (ssl == nullptr) return {};
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  return name != nullptr ? name : "";
}

std::string_view agreed_protocol(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  if (ssl != nullptr) SSL_get0_alpn_selected(ssl, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_error() {
  char text[256];
  ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
  ERR_clear_error();
  return text;
}

}  // namespace halogen::proxy
