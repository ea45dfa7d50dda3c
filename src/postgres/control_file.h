// control_file.h: global/pg_control, as bytes.
#pragma once
#include <string>

#include "postgres/major.h"

namespace halogen {

// The 8192 bytes of a cleanly stopped cluster's control file.
inline std::string build_control_file(int major, const ControlFile& control) {
  return major_layout(major).encode_control(control);
}

// Errc::corrupt if damaged or of another major.
inline ControlFile parse_control_file(int major, std::string_view bytes) {
  return major_layout(major).decode_control(as_bytes(bytes));
}

}  // namespace halogen
