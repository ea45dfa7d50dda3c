#include "proxy/session/handshake.h"

#include "base/error.h"
#include "proxy/auth/work_limits.h"
#include "proxy/session/cancel_request.h"

namespace halogen::proxy {
namespace {

constexpr char kTlsHandshake = 0x16;

}  // namespace

// The handshake's costly step is taken when the client's part is there, and when it is the turn of
// its address.
Task<void> Handshake::begin_tls() {
  client_.understands = false;
  co_await client_.stream.wait(Io::want_read);
  Turns::Ticket turn(client_.worker.handshakes, network_of(client_.address),
                     [this] { client_.signal(); });
  while (!turn.come()) {
    co_await client_.wait_for_event(client_.startup_deadline);
    client_.throw_if_ended();
  }
  co_await client_.stream.accept_tls(client_.shared.tls);
  client_.understands = true;
}

Task<startup::Packet> Handshake::receive_packet() {
  char word[4];
  co_await client_.stream.read_exactly(word);
  client_.understands = true;
  size_t size = startup::body_size(byteswap(load<uint32_t>(word)));
  std::string body(size, '\0');
  co_await client_.stream.read_exactly(body);
  co_return startup::parse(as_bytes(body));
}

// Whoever sends more before our answer may be somebody between the client and us, whose words would
// be taken for the client's (CVE-2021-23222).
void Handshake::refuse_early_bytes(std::string_view request) {
  if (client_.stream.has_arrived())
    throw Error(Errc::corrupt, "received unencrypted data after {} request", request);
}

// Of a kind that has been asked for once.
Task<void> Handshake::refuse_encryption(bool& before) {
  if (std::exchange(before, true)) throw Error(Errc::corrupt, "encryption asked for twice");
  co_await client_.stream.write("N");
}

Task<std::optional<startup::Packet>> Handshake::receive_startup() {
  Stream& stream = client_.stream;
  if (client_.tunnel) co_await client_.charge_work();  // What led here was work, too.
  if (!stream.buffered()) co_await stream.wait(Io::want_read);
  // Not for who looks whether we are up.
  if (!client_.tunnel && stream.has_arrived()) co_await client_.charge_work();
  if (!client_.tunnel && stream.peek_first() == kTlsHandshake) {
    co_await begin_tls();
    if (agreed_protocol(stream.ssl()).empty())
      throw Refused("08P01", "direct SSL connection without ALPN protocol negotiation");
  }
  while (true) {
    startup::Packet packet = co_await receive_packet();
    switch (packet.kind) {
      case startup::Kind::ssl_request:
        if (client_.tunnel) {
          co_await refuse_encryption(tls_refused_);
          break;
        }
        if (stream.encrypted()) throw Error(Errc::corrupt, "SSL is on already");
        refuse_early_bytes("SSL");
        co_await stream.write("S");
        co_await begin_tls();
        break;
      case startup::Kind::gss_request:
        if (stream.encrypted() && !client_.tunnel)
          throw Error(Errc::corrupt, "encryption asked for twice");
        if (!client_.tunnel) refuse_early_bytes("GSSAPI encryption");
        co_await refuse_encryption(gss_refused_);
        break;
      case startup::Kind::cancel_request:
        co_await forward_cancel(client_, {packet.cancel_pid, packet.cancel_key});
        co_return std::nullopt;
      case startup::Kind::unsupported:
        throw Refused("0A000",
                      fmt::format("unsupported frontend protocol {}.{}: server supports 3.0 to 3.2",
                                  packet.major, packet.minor));
      case startup::Kind::start:
        if (!client_.tunnel && !stream.is_private())
          throw Refused("28000", "connection is insecure (try using `sslmode=require`)");
        co_return packet;
    }
  }
}

}  // namespace halogen::proxy
