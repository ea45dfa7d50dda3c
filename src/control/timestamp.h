// timestamp.h: moments as text, as the API and people write them.
//
// Pure: fuzz/api_request.cc drives it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace halogen::control {

// "2026-11-23T01:26:10.000123Z", without the fraction if it is 0. From microseconds since 1970.
std::string timestamp(int64_t micros);

// RFC 3339, and what Postgres prints for a timestamptz: "2026-11-23 01:26:10.5+01". A time zone is
// required; what is finer than a microsecond is cut off. Years 1970 to 9999.
std::optional<int64_t> parse_timestamp(std::string_view text);

}  // namespace halogen::control
