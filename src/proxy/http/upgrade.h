// upgrade.h: how a connection becomes a WebSocket (RFC 6455, section 4). Pure.
#pragma once
#include "proxy/http/http_request.h"

namespace halogen::proxy {

// The answer to a request that asks for another protocol: 101 and, from then on, frames; or why
// not. No subprotocol or extension is agreed to.
HttpResponse answer_upgrade(const HttpRequest& request);

// Of a Host header: in lower case, without a port.
std::string host_name(std::string_view header);

}  // namespace halogen::proxy
