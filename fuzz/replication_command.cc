// What a client of the safekeeper's WAL server may send: the startup packet, then messages with
// commands and standby replies. None of it may crash; Error is the only way out.
#include <cstdint>

#include "base/error.h"
#include "postgres/wire.h"
#include "safekeeper/replication_command.h"

using namespace halogen;

namespace {

void read_message(const wire::Message& message) {
  try {
    switch (message.type) {
      case 'Q':
        safekeeper::parse_replication_command(Reader(message.body).cstring());
        break;
      case 'd':
        wire::parse_standby_message(message.body);
        break;
      // What the other end of the protocol has to read.
      case 'w':
        wire::parse_wal_message(message.body);
        break;
      case 'E':
        wire::parse_error(message.body);
        break;
      case 'T':
        wire::parse_row_description(message.body);
        break;
      case 'D':
        wire::parse_data_row(message.body);
        break;
      case 'S':
        wire::parse_parameter_status(message.body);
        break;
      case 'R':
        wire::parse_authentication(message.body);
        break;
      default:
        break;
    }
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes input(reinterpret_cast<const std::byte*>(data), size);
  try {
    // The bare command, without having to guess a message's frame.
    safekeeper::parse_replication_command(as_text(input));
  } catch (const Error&) {
  }
  try {
    std::optional<wire::Startup> startup = wire::parse_startup(input);
    Bytes rest = startup ? input.subspan(startup->size) : input;
    while (std::optional<wire::Message> message = wire::parse_message(rest)) {
      read_message(*message);
      rest = rest.subspan(message->size);
    }
  } catch (const Error&) {
  }
  return 0;
}
