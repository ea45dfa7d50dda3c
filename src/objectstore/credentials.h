// credentials.h: with what we prove to S3 who we are.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"

namespace halogen::objectstore {

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // Of temporary ones; or empty.

  bool empty() const { return access_key.empty(); }
};

// The section [default] of a file as ~/.aws/credentials is. Throws invalid_argument if it has no
// pair of keys; what it says names no secret.
Credentials parse_credentials(std::string_view text, const std::string& file);

// From the file, if one is named; else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN; else the file that AWS_SHARED_CREDENTIALS_FILE names. Empty: there are none.
Credentials find_credentials(const fs::path& file);

// Takes them out of the environment, which every process that we start would inherit. Before
// threads.
void forget_credentials_in_environment();

}  // namespace halogen::objectstore
