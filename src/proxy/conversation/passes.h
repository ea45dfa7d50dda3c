// passes.h: proof that a statement is the proxy's own and not its client's.
//
// Each is good for one statement on one server connection: protocol/session_state.h.
#pragma once
#include <cstdint>
#include <string>

namespace halogen::proxy {

class Passes {
 public:
  // A secret of its own, made of random bytes.
  Passes();

  // Told to the server in the startup packet, and to nobody else.
  const std::string& secret() const { return secret_; }
  std::string next();

 private:
  std::string secret_;  // In hexadecimal digits.
  uint64_t last_ = 0;
};

}  // namespace halogen::proxy
