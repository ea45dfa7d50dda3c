// checks.h: what can be known to stand in the way before anything is started, each with a message
// that says what is wrong and what to do. All throw Error.
#pragma once
#include <string>
#include <vector>

#include "base/file.h"

namespace halogen::platform {

// unavailable if something listens there, saying who and which option chooses another port.
void check_port(const std::string& host, int port, const std::string& option);
// A port that is free now on all of `hosts`.
int free_port(const std::vector<std::string>& hosts);
// unavailable if Debian's package of this Postgres major is missing.
void check_postgres_package(int major);
// io if less than 512 MiB are free where `folder` is or will be.
void check_disk_space(const fs::path& folder);
// The addresses of `hosts` that this machine has.
std::vector<std::string> present_addresses(const std::vector<std::string>& hosts);

}  // namespace halogen::platform
