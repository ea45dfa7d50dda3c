// scram.h: the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) as Postgres speaks it, with
// channel binding to the server's certificate (tls-server-end-point, RFC 5929).
//
// Pure but for random numbers. Passwords are taken as the bytes they are: those outside ASCII are
// not normalised (SASLprep), which clients do before they hash.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halogen::scram {

constexpr int kIterations = 4096;
constexpr std::string_view kMechanism = "SCRAM-SHA-256";
constexpr std::string_view kMechanismPlus = "SCRAM-SHA-256-PLUS";

using Key = std::array<uint8_t, 32>;

// What a server keeps of a password: pg_authid.rolpassword.
struct Verifier {
  int iterations = kIterations;
  std::string salt;  // Raw bytes.
  Key stored_key{};
  Key server_key{};

  // "SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>", the three in base64.
  std::string str() const;
};

// nullopt for anything that is not such a verifier.
std::optional<Verifier> parse_verifier(std::string_view text);
// `salt` of raw bytes; 16 random ones if empty.
Verifier make_verifier(std::string_view password, std::string_view salt = {},
                       int iterations = kIterations);
// For someone who does not exist: looks like a real one and is always the same for the same
// `who`, but no password fits.
Verifier mock_verifier(std::string_view server_secret, std::string_view who);
// In constant time but for the length of the password. Costs `iterations` hashes.
bool check_password(const Verifier& verifier, std::string_view password);

// What a SASLInitialResponse message carries (protocol-message-formats).
struct InitialResponse {
  std::string_view mechanism;
  std::string_view client_first;
};
// Of the message's body, which outlives what is returned. Throws corrupt.
InitialResponse parse_initial_response(std::string_view body);

// One attempt of one client. begin(), then finish().
class Exchange {
 public:
  // `certificate_hash` is the channel binding data of our certificate; empty if there is none.
  // `nonce` is for tests; by default 18 random bytes in base64.
  Exchange(Verifier verifier, std::string certificate_hash, std::string nonce = {});

  // Takes client-first, gives server-first. Throws corrupt if malformed, permission_denied if the
  // channel binding asked for cannot be.
  std::string begin(std::string_view mechanism, std::string_view client_first);
  // Takes client-final, gives server-final; nullopt if the password was wrong. Throws as begin().
  std::optional<std::string> finish(std::string_view client_final);

 private:
  void parse_gs2_header(std::string_view& rest, std::string_view mechanism);

  Verifier verifier_;
  std::string certificate_hash_;
  std::string nonce_;  // The server's part, then the client's and the server's.
  std::string gs2_header_;
  bool binding_used_ = false;
  std::string client_first_bare_;
  std::string server_first_;
};

std::string base64_encode(std::string_view bytes);
// Strict: padding wanted, nothing else allowed. nullopt if malformed.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace halogen::scram
