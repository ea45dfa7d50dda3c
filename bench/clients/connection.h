// connection.h: one client of the Postgres protocol over TLS with SCRAM-SHA-256, blocking and
// small: thousands of them fit in one process. Certificates are not verified, as with
// sslmode=require.
//
// Threads: one at a time.
#pragma once
#include <openssl/ssl.h>

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "postgres/scram.h"
#include "postgres/wire.h"

namespace halogen::bench {

// postgresql://user:password@host:port/database?...
struct Target {
  std::string user, password, host, port, database;
};
Target parse_target(std::string_view url);

// What clients share: TLS settings, and salted passwords, of which each costs thousands of hashes.
class Shared {
 public:
  Shared();
  SSL_CTX* tls() const { return tls_.get(); }
  scram::Key salted_password(const std::string& password, const std::string& salt, int iterations);

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_;
  std::mutex mutex_;
  std::map<std::string, scram::Key> salted_;
};

class Connection {
 public:
  // Connects and logs in. Throws on any failure.
  Connection(Shared& shared, const Target& target, std::chrono::seconds timeout);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  // One simple query that gives one row of one column. Throws on errors, and on anything else.
  std::string query(std::string_view sql);
  // The same in two steps: others have their turn in between.
  void ask(std::string_view sql);
  std::string answer();

 private:
  void open_socket(const Target& target, std::chrono::seconds timeout);
  void start_tls(SSL_CTX* context, const std::string& host);
  void log_in(Shared& shared, const Target& target);
  std::string sasl_answer(uint32_t code);
  void send(const std::string& bytes);
  // Type and body of the next message; notices and parameters are passed over.
  std::pair<char, std::string> receive();
  void until_ready();

  int fd_ = -1;
  SSL* tls_ = nullptr;
  std::string buffer_;
};

}  // namespace halogen::bench
