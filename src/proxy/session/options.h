// options.h: what a proxy is started with.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "proxy/auth/auth_limits.h"
#include "proxy/auth/password_checks.h"
#include "proxy/auth/work_limits.h"
#include "proxy/session/byte_budget.h"

namespace halogen::proxy {

// For clients that speak HTTP.
struct WebOptions {
  int port = 0;                            // 0 is any free one: see sql_port().
  size_t max_request = 10 * 1024 * 1024;   // A body, in bytes.
  size_t max_response = 10 * 1024 * 1024;  // Likewise.
  // So much of an answer is held until it is complete, if there is room; more is streamed.
  size_t max_held = 10 * 1024 * 1024;
  // Of bodies and answers. "Endpoint" is the client's address.
  ByteBudget::Limits bytes{
      .message = size_t{64} << 20, .endpoint = size_t{64} << 20, .all = size_t{192} << 20};
};

struct ProxyOptions {
  // Addresses, not names. Those that the machine does not have are passed over, but not all.
  std::vector<std::string> hosts{"127.0.0.1", "::1"};
  int port = 5432;  // 0 is any free one: see port().
  // A socket that listens; empty: it is made (net::listen_tcp). For ports that we may not take.
  std::function<UniqueFd(const std::string& host, int port, int backlog)> listen{};
  // Made with certificates in it if need be: ca.crt is what clients verify against.
  fs::path certificate_directory;
  std::string domain = "localhost";  // Endpoint hosts are <endpoint>.<region>.<domain>, or
  std::string region;                // <endpoint>.<domain>.
  int threads = 0;                   // 0 is one per two cores.
  std::chrono::milliseconds startup_timeout{60'000};  // Until authenticated.
  std::chrono::milliseconds wake_timeout{60'000};     // For a compute to be there.
  int max_unauthenticated = 4000;  // Connections that have not shown who they are.
  // How often the server's certificate is looked at: renewed before its end, taken up if
  // replaced.
  std::chrono::milliseconds certificate_check = std::chrono::hours(12);
  // For one that says nothing, while three quarters of these are taken.
  std::chrono::milliseconds crowded_patience{2000};
  AuthLimits::Options auth_limits{};
  WorkLimits::Options work_limits{};
  PasswordChecks::Options password_checks{};
  ByteBudget::Limits held_bytes{};  // Of messages that cannot be passed on in pieces.
  WebOptions web{};
  size_t max_descriptors = 0;  // 0: what the system lets us have.
};

}  // namespace halogen::proxy
