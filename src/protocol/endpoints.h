// endpoints.h: what the proxy asks of control.
//
// Callbacks run on a thread of control's; the proxy hands them to its own. Every callback is called
// exactly once.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/ip_address.h"
#include "protocol/compute_host.h"

namespace halogen {

struct RoleSecret {
  std::string verifier;  // SCRAM-SHA-256$...
};

// What came of an asynchronous call: a value, or the error.
template <typename T>
struct Outcome {
  std::optional<T> value;
  std::optional<Error> error;
};

class Endpoints {
 public:
  virtual ~Endpoints() = default;

  // True if there is such an endpoint ("ep-..." without "-pooler"). Never blocks for long.
  virtual bool exists(const std::string& endpoint_id) = 0;
  // False if the endpoint's project keeps a list of addresses and this one is not on it. True for
  // an endpoint that does not exist. Never blocks for long.
  virtual bool address_allowed(const std::string& endpoint_id, const IpAddress& address) = 0;
  // The role's verifier; not_found if there is no such role that may log in. May have to ask the
  // running compute.
  virtual void role_secret(const std::string& endpoint_id, const std::string& role,
                           std::function<void(Outcome<RoleSecret>)> done) = 0;
  // Starts the endpoint's compute unless it runs. Any number of callers share one start.
  virtual void wake(const std::string& endpoint_id,
                    std::function<void(Outcome<ComputeAddress>)> done) = 0;
  // Counts sessions: an endpoint with none for its idle timeout is suspended. Called for every
  // session, before wake and after its last byte.
  virtual void session_opened(const std::string& endpoint_id) = 0;
  virtual void session_closed(const std::string& endpoint_id) = 0;
};

}  // namespace halogen
