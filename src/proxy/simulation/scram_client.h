// scram_client.h: the client's side of SCRAM-SHA-256 (RFC 5802), without channel binding.
#pragma once
#include <string>
#include <string_view>

namespace halogen::proxy::simulation {

// What a client says at first, in answer to the offer of mechanisms.
std::string scram_initial_response();
// The client's last word, in answer to the server's first.
std::string scram_final(std::string_view password, std::string_view server_first);

}  // namespace halogen::proxy::simulation
