#include "proxy/io/certificates.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <memory>

#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"

namespace halogen::proxy {
namespace {

const log::Logger logger("proxy");

constexpr long kDay = 24 * 3600;
constexpr long kCaLife = 3650 * kDay;
constexpr long kServerLife = 820 * kDay;  // Some clients refuse more than 825 days.
constexpr long kRenewBefore = 60 * kDay;
constexpr size_t kSecretSize = 32;

template <typename T, void (*free_it)(T*)>
struct Free {
  void operator()(T* object) const { free_it(object); }
};
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<X509_EXTENSION, X509_EXTENSION_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO, BIO_free_all>>;

struct Pair {
  Certificate certificate;
  PrivateKey key;
};

void must(bool good, std::string_view what) {
  if (good) return;
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  throw Error(Errc::internal, "cannot {}: {}", what, text);
}

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string pem(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_X509(bio.get(), certificate) == 1, "write a certificate");
  return bio_text(bio.get());
}

std::string pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  must(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
       "write a key");
  return bio_text(bio.get());
}

// Without both files, or where they are no pair, an empty one.
Pair read_pair(const fs::path& certificate_file, const fs::path& key_file) {
  if (!fs::exists(certificate_file) || !fs::exists(key_file)) return {};
  std::string certificate_text = read_file(certificate_file);
  std::string key_text = read_file(key_file);
  Bio certificate_bio(
      BIO_new_mem_buf(certificate_text.data(), static_cast<int>(certificate_text.size())));
  Bio key_bio(BIO_new_mem_buf(key_text.data(), static_cast<int>(key_text.size())));
  Pair pair;
  pair.certificate.reset(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  pair.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  bool fits = pair.certificate && pair.key &&
              X509_check_private_key(pair.certificate.get(), pair.key.get()) == 1;
  ERR_clear_error();
  return fits ? std::move(pair) : Pair{};
}

void write_pair(const Pair& pair, const fs::path& certificate_file, const fs::path& key_file) {
  write_file_durably(key_file, pem(pair.key.get()), 0600);
  write_file_durably(certificate_file, pem(pair.certificate.get()), 0644);
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  must(extension != nullptr, "make a certificate extension");
  must(X509_add_ext(certificate, extension.get(), -1) == 1, "add a certificate extension");
}

// A fresh key and a certificate that is still to be given extensions and signed.
Pair new_pair(const std::string& name, long life) {
  Pair pair{Certificate(X509_new()), PrivateKey(EVP_EC_gen("P-256"))};
  must(pair.certificate && pair.key, "make a key");
  X509* certificate = pair.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  uint64_t serial = 0;
  random_bytes(&serial, sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kDay);  // For clocks that are behind.
  X509_gmtime_adj(X509_getm_notAfter(certificate), life);
  X509_set_pubkey(certificate, pair.key.get());
  must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(name.data()),
                                  static_cast<int>(name.size()), -1, 0) == 1,
       "name a certificate");
  return pair;
}

Pair make_ca() {
  // With an identity of its own in the name, so that two CAs of ours are never taken for one.
  Pair ca = new_pair("Halogen CA " + random_name(8), kCaLife);
  X509* certificate = ca.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
  must(X509_sign(certificate, ca.key.get(), EVP_sha256()) > 0, "sign a certificate");
  return ca;
}

std::string alternative_names(const std::string& domain, const std::string& region) {
  std::string names = fmt::format("DNS:*.{0},DNS:{0}", domain);
  if (!region.empty()) names += fmt::format(",DNS:*.{}.{}", region, domain);
  if (domain != "localhost") names += ",DNS:localhost";
  return names + ",IP:127.0.0.1,IP:::1";
}

Pair make_server(const Pair& ca, const std::string& names, const std::string& domain) {
  Pair server = new_pair(domain, kServerLife);
  X509* certificate = server.certificate.get();
  X509* issuer = ca.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth");
  add_extension(certificate, issuer, NID_subject_alt_name, names);
  add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
  add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
  must(X509_sign(certificate, ca.key.get(), EVP_sha256()) > 0, "sign a certificate");
  return server;
}

bool near_end(X509* certificate) {
  time_t when = time(nullptr) + kRenewBefore;
  return X509_cmp_time(X509_get0_notAfter(certificate), &when) < 0;
}

// The subject alternative names as an extension's bytes, to be compared as a whole.
std::string names_of(X509* certificate) {
  int at = X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1);
  if (at < 0) return {};
  ASN1_OCTET_STRING* data = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)),
                     static_cast<size_t>(ASN1_STRING_length(data)));
}

std::string encoded_names(const std::string& names) {
  Certificate scratch(X509_new());
  add_extension(scratch.get(), scratch.get(), NID_subject_alt_name, names);
  return names_of(scratch.get());
}

bool still_good(const Pair& server, const Pair& ca, const std::string& names) {
  if (!server.certificate || near_end(server.certificate.get())) return false;
  bool ours = X509_verify(server.certificate.get(), ca.key.get()) == 1;
  ERR_clear_error();
  return ours && names_of(server.certificate.get()) == encoded_names(names);
}

}  // namespace

CertificateFiles make_certificates(const fs::path& directory, const std::string& domain,
                                   const std::string& region) {
  fs::create_directories(directory);
  // A killed process may not have come to that, and clients keep what they are shown from now on.
  fsync_folder(directory);
  fsync_folder(directory.parent_path());
  ::chmod(directory.c_str(), 0711);  // Clients read the CA's certificate, by its name.
  CertificateFiles files{directory / "ca.crt", directory / "server.crt", directory / "server.key"};
  fs::path ca_key = directory / "ca.key";

  Pair ca = read_pair(files.ca, ca_key);
  if (!ca.certificate) {
    if (fs::exists(files.ca))
      throw Error(
          Errc::corrupt,
          "{} and {} are not a certificate and its key; put back the ones that clients trust, "
          "or remove both to have new ones made",
          files.ca.string(), ca_key.string());
    ca = make_ca();
    write_pair(ca, files.ca, ca_key);
    logger.info("made a certificate authority: {}", files.ca.string());
  }
  if (near_end(ca.certificate.get()))
    logger.warn(
        "the certificate authority {} ends in less than {} days; remove it and ca.key to "
        "have a new one made, and give that to the clients",
        files.ca.string(), kRenewBefore / kDay);

  std::string names = alternative_names(domain, region);
  if (!still_good(read_pair(files.certificate, files.key), ca, names)) {
    write_pair(make_server(ca, names, domain), files.certificate, files.key);
    logger.info("made a server certificate for {}", names);
  }
  return files;
}

std::string keep_secret(const fs::path& file) {
  if (fs::exists(file)) {
    std::string secret = read_file(file);
    if (secret.size() == kSecretSize) return secret;
  }
  std::string secret(kSecretSize, '\0');
  random_bytes(secret.data(), secret.size());
  write_file_durably(file, secret, 0600);
  return secret;
}

}  // namespace halogen::proxy
