#include "clients/connection.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace halogen::bench {
namespace {

constexpr uint32_t kAuthenticationOk = 0, kSaslContinue = 11, kSaslFinal = 12;

scram::Key hmac(std::string_view key, std::string_view data) {
  scram::Key out;
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), out.data(), &size);
  return out;
}

std::string_view view(const scram::Key& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

// The value of `name` in "a=x,b=y".
std::string attribute(std::string_view text, char name) {
  while (!text.empty()) {
    std::string_view part = text.substr(0, text.find(','));
    if (part.size() > 1 && part[0] == name && part[1] == '=') return std::string(part.substr(2));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  throw Error(Errc::corrupt, "no {}= in the server's SCRAM message", name);
}

std::string initial_response(std::string_view mechanism, std::string_view text) {
  std::string body(mechanism);
  body += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(text.size() >> shift);
  return body += text;
}

Bytes bytes_of(std::string_view text) {
  return Bytes(reinterpret_cast<const Bytes::value_type*>(text.data()), text.size());
}

}  // namespace

Target parse_target(std::string_view url) {
  Target target;
  auto take = [&url](std::string_view end) {
    size_t at = url.find(end);
    if (at == url.npos) throw Error(Errc::invalid_argument, "not a connection string");
    std::string part(url.substr(0, at));
    url.remove_prefix(at + end.size());
    return part;
  };
  take("://");
  target.user = take(":");
  target.password = take("@");
  target.host = take(":");
  target.port = take("/");
  target.database = std::string(url.substr(0, url.find('?')));
  return target;
}

Shared::Shared() : tls_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free) {
  // Without it each connection would hold its 34 KiB of buffers.
  SSL_CTX_set_mode(tls_.get(), SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(tls_.get(), SSL_SESS_CACHE_OFF);
}

scram::Key Shared::salted_password(const std::string& password, const std::string& salt,
                                   int iterations) {
  std::lock_guard lock(mutex_);
  auto [found, added] = salted_.try_emplace(password + '\0' + salt + std::to_string(iterations));
  if (added)
    PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                      reinterpret_cast<const unsigned char*>(salt.data()),
                      static_cast<int>(salt.size()), iterations, EVP_sha256(),
                      static_cast<int>(found->second.size()), found->second.data());
  return found->second;
}

Connection::Connection(Shared& shared, const Target& target, std::chrono::seconds timeout) {
  try {
    open_socket(target, timeout);
    start_tls(shared.tls(), target.host);
    log_in(shared, target);
  } catch (...) {
    this->~Connection();
    throw;
  }
}

Connection::~Connection() {
  SSL_free(tls_);
  if (fd_ >= 0) ::close(fd_);
  tls_ = nullptr;
  fd_ = -1;
}

void Connection::open_socket(const Target& target, std::chrono::seconds timeout) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(target.port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);  // Only ever this machine.
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw system_error(errno, "socket");
  timeval limit{.tv_sec = timeout.count(), .tv_usec = 0};
  int on = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    throw system_error(errno, "connect");
}

void Connection::start_tls(SSL_CTX* context, const std::string& host) {
  std::string request = wire::ssl_request();
  char answer = 0;
  if (::write(fd_, request.data(), request.size()) != static_cast<ssize_t>(request.size()) ||
      ::read(fd_, &answer, 1) != 1 || answer != 'S')
    throw Error(Errc::unavailable, "no TLS offered");
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, fd_);
  if (host.find_first_not_of("0123456789.") != host.npos)
    SSL_set_tlsext_host_name(tls_, host.c_str());
  if (SSL_connect(tls_) != 1) throw Error(Errc::unavailable, "the TLS handshake failed");
}

void Connection::log_in(Shared& shared, const Target& target) {
  send(wire::startup_packet({{"user", target.user}, {"database", target.database}}));
  if (auto [type, body] = receive();
      type != 'R' || wire::parse_authentication(bytes_of(body)) != 10)
    throw Error(Errc::unavailable, "the server does not ask for SCRAM");
  unsigned char random[18];
  RAND_bytes(random, sizeof(random));
  std::string nonce = scram::base64_encode({reinterpret_cast<const char*>(random), sizeof(random)});
  std::string first = "n=,r=" + nonce;
  std::string out;
  wire::put_message(out, 'p', initial_response(scram::kMechanism, "n,," + first));
  send(out);

  std::string server_first = sasl_answer(kSaslContinue);
  scram::Key salted = shared.salted_password(
      target.password, scram::base64_decode(attribute(server_first, 's')).value_or(""),
      std::stoi(attribute(server_first, 'i')));
  std::string final_message = "c=biws,r=" + attribute(server_first, 'r');
  std::string signed_text = first + "," + server_first + "," + final_message;
  scram::Key proof = hmac(view(salted), "Client Key");
  scram::Key stored;
  EVP_Digest(proof.data(), proof.size(), stored.data(), nullptr, EVP_sha256(), nullptr);
  scram::Key signature = hmac(view(stored), signed_text);
  for (size_t i = 0; i < proof.size(); ++i) proof[i] ^= signature[i];
  out.clear();
  wire::put_message(out, 'p', final_message + ",p=" + scram::base64_encode(view(proof)));
  send(out);
  sasl_answer(kSaslFinal);
  sasl_answer(kAuthenticationOk);
  until_ready();
}

std::string Connection::sasl_answer(uint32_t code) {
  auto [type, body] = receive();
  if (type != 'R' || wire::parse_authentication(bytes_of(body)) != code)
    throw Error(Errc::permission_denied, "unexpected answer while logging in");
  return body.substr(4);
}

std::string Connection::query(std::string_view sql) {
  ask(sql);
  return answer();
}

void Connection::ask(std::string_view sql) {
  std::string out;
  wire::put_query(out, sql);
  send(out);
}

std::string Connection::answer() {
  std::string value;
  for (;;) {
    auto [type, body] = receive();
    if (type == 'D') value = wire::parse_data_row(bytes_of(body)).at(0).value_or("");
    if (type == 'Z') return value;
  }
}

void Connection::send(const std::string& bytes) {
  if (SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size())) <= 0)
    throw Error(Errc::unavailable, "the connection is gone");
}

std::pair<char, std::string> Connection::receive() {
  for (;;) {
    if (auto message = wire::parse_message(bytes_of(buffer_))) {
      std::pair<char, std::string> out{
          message->type,
          std::string(reinterpret_cast<const char*>(message->body.data()), message->body.size())};
      buffer_.erase(0, message->size);
      if (buffer_.empty()) std::string().swap(buffer_);  // Idle clients hold nothing.
      if (out.first == 'E') {
        wire::ErrorFields fields = wire::parse_error(bytes_of(out.second));
        throw Error(Errc::unavailable, "{}: {}", fields.sqlstate, fields.message);
      }
      if (out.first != 'N' && out.first != 'S') return out;
      continue;
    }
    char chunk[4096];
    int got = SSL_read(tls_, chunk, sizeof(chunk));
    if (got <= 0)
      throw Error(Errc::unavailable, "{}",
                  errno == EAGAIN ? "no answer in time" : "the connection is gone");
    buffer_.append(chunk, static_cast<size_t>(got));
  }
}

void Connection::until_ready() {
  while (receive().first != 'Z') {
  }
}

}  // namespace halogen::bench
