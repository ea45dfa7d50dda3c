// startup.h: how a client opens a connection, parsed as Postgres parses it. Pure; takes bytes from
// outside, and throws Errc::corrupt on anything malformed.
//
// A packet is a length word (which counts itself) and a body. The caller reads the word, asks
// body_size() how much follows, reads that and parses it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "postgres/wire.h"

namespace halogen::startup {

enum class Kind { ssl_request, gss_request, cancel_request, start, unsupported };

struct Packet {
  Kind kind = Kind::unsupported;
  uint16_t major = 0;  // Of `start` (3) and `unsupported`.
  uint16_t minor = 0;
  uint32_t cancel_pid = 0;
  std::string cancel_key;  // Raw bytes: four before protocol 3.2, up to 256 since.
  // Of `start`: each name once, the last value given (as Postgres has it), "_pq_." ones apart.
  // `user` and `database` are cut to the length of a Postgres name.
  wire::Parameters parameters;
  std::vector<std::string> protocol_options;  // The names of "_pq_." parameters.

  // "" if not given.
  std::string_view parameter(std::string_view name) const;
};

// What follows a length word, in bytes. Throws if Postgres would refuse such a length.
size_t body_size(uint32_t length_word);
Packet parse(Bytes body);

// The `options` parameter: words split at white space, a backslash takes what follows as it is.
std::vector<std::string> split_options(std::string_view options);
// The inverse: split_options(join_options(w)) == w for words that are not empty.
std::string join_options(const std::vector<std::string>& words);
// The settings that the words make, as Postgres takes its switches from a client: -c name=value,
// --name=value (dashes in names made underscores), and short ones such as -S 2048, -f s and -e.
// Throws invalid_argument, in Postgres' words, where it would refuse them with 42601.
wire::Parameters option_settings(const std::vector<std::string>& words);

}  // namespace halogen::startup
