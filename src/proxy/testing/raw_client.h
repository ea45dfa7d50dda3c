// raw_client.h: for the proxy's tests: a client that says just what it is told to, in the clear or
// over TLS.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/file.h"
#include "postgres/wire.h"

namespace halogen::proxy {

class RawClient {
 public:
  struct Message {
    char type = '\0';  // Of a message that did not come.
    std::string body;

    wire::ErrorFields error() const { return wire::parse_error(as_bytes(body)); }
  };
  struct Tls {
    std::string sni;
    std::string alpn;
    int version = TLS1_3_VERSION;
    SSL_SESSION* session = nullptr;  // To resume.
  };

  // Any address 127.x.x.x can be `from`.
  explicit RawClient(int port, const std::string& from = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at = address(from, 0);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    sockaddr_in to = address("127.0.0.1", port);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    timeval patience{20, 0};  // Rather a failed test than one that hangs.
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  RawClient(RawClient&&) = default;
  RawClient& operator=(RawClient&&) = default;

  void send(std::string_view bytes) {
    if (ssl_)
      EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())),
                static_cast<int>(bytes.size()));
    else
      write_all(socket_.get(), as_bytes(bytes));
  }
  // The TLS records that send() would write, for the test to write piece by piece.
  std::string encrypted(std::string_view bytes) {
    BIO* out = BIO_new(BIO_s_mem());
    SSL_set0_wbio(ssl_.get(), out);
    EXPECT_EQ(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
    char* records = nullptr;
    auto size = static_cast<size_t>(BIO_get_mem_data(out, &records));
    std::string result(records, size);
    SSL_set_fd(ssl_.get(), socket_.get());
    return result;
  }
  void send_in_the_clear(std::string_view bytes) { write_all(socket_.get(), as_bytes(bytes)); }
  // False if the peer has gone.
  bool try_send(std::string_view bytes) {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
  }
  // What is there; "" at the end.
  std::string receive(size_t at_most = 4096) {
    std::string bytes(at_most, '\0');
    ssize_t size = ssl_ ? SSL_read(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()))
                        : ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return bytes;
  }
  Message next() {
    while (true) {
      if (auto message = wire::parse_message(as_bytes(input_))) {
        Message result{message->type, std::string(as_text(message->body))};
        input_.erase(0, message->size);
        return result;
      }
      std::string more = receive();
      if (more.empty()) return {};
      input_ += more;
    }
  }
  // Passes over all others.
  Message next(char type) {
    Message message = next();
    while (message.type != type && message.type != '\0') message = next();
    return message;
  }
  bool closed() { return receive().empty(); }
  int fd() const { return socket_.get(); }

  // Asks for TLS as psql does. False if it is refused; next() tells why.
  bool request_tls(const Tls& wishes) {
    send(wire::ssl_request());
    input_ = receive(1);
    if (input_ != "S") return false;
    input_.clear();
    return start_tls(wishes);
  }
  bool start_tls(const Tls& wishes) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context_.get(), wishes.version);
    SSL_CTX_set_max_proto_version(context_.get(), wishes.version);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT);
    std::unique_ptr<SSL, Free> ssl(SSL_new(context_.get()));
    SSL_set_fd(ssl.get(), socket_.get());
    if (!wishes.sni.empty()) SSL_set_tlsext_host_name(ssl.get(), wishes.sni.c_str());
    if (!wishes.alpn.empty()) {
      std::string list = std::string(1, static_cast<char>(wishes.alpn.size())) + wishes.alpn;
      SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(list.data()),
                          static_cast<unsigned int>(list.size()));
    }
    if (wishes.session != nullptr) SSL_set_session(ssl.get(), wishes.session);
    if (SSL_connect(ssl.get()) != 1) return false;
    ssl_ = std::move(ssl);
    return true;
  }
  SSL* ssl() const { return ssl_.get(); }

  // The password in the clear, with the endpoint in front of it: no SNI is wanted for that.
  void log_in(uint32_t version, const wire::Parameters& parameters, const std::string& password) {
    send_startup(version, parameters);
    send_password(password);
  }
  void send_startup(uint32_t version, const wire::Parameters& parameters) {
    std::string packet = wire::startup_packet(parameters);
    uint32_t word = byteswap(version);
    packet.replace(4, 4, reinterpret_cast<const char*>(&word), 4);
    send(packet);
  }
  void send_password(const std::string& password) {
    std::string message;
    wire::put_message(message, 'p', password + '\0');
    send(message);
  }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  static sockaddr_in address(const std::string& host, int port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(static_cast<uint16_t>(port));
    EXPECT_EQ(::inet_pton(AF_INET, host.c_str(), &result.sin_addr), 1);
    return result;
  }

  UniqueFd socket_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  std::string input_;
};

}  // namespace halogen::proxy
