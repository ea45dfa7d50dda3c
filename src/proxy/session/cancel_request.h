// cancel_request.h: a connection that asks for another client's request to be canceled.
#pragma once
#include "proxy/pool/cancel_keys.h"
#include "proxy/session/client_side.h"

namespace halogen::proxy {

// Whose `client` waits until we close, which says that its request has been delivered: to the
// session, where the request to be canceled waits for a server, or to the server that works on it.
// As Postgres: silence, whatever was wrong with it.
Task<void> forward_cancel(ClientSide& client, ClientKey key);

}  // namespace halogen::proxy
