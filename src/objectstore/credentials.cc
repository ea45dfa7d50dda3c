#include "objectstore/credentials.h"

#include <cstdlib>
#include <sstream>

#include "base/error.h"

namespace halogen::objectstore {
namespace {

constexpr const char* kAccessKey = "AWS_ACCESS_KEY_ID";
constexpr const char* kSecretKey = "AWS_SECRET_ACCESS_KEY";
constexpr const char* kSessionToken = "AWS_SESSION_TOKEN";
constexpr const char* kFile = "AWS_SHARED_CREDENTIALS_FILE";

std::string trimmed(std::string_view text) {
  const size_t from = std::min(text.find_first_not_of(" \t\r"), text.size());
  const size_t to = text.find_last_not_of(" \t\r");
  return std::string(text.substr(from, to == text.npos ? 0 : to + 1 - from));
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Credentials parse_credentials(std::string_view text, const std::string& file) {
  Credentials found;
  std::istringstream lines{std::string(text)};
  bool counts = true;  // Lines before any section do, too.
  for (std::string line; std::getline(lines, line);) {
    line = trimmed(line);
    if (line.starts_with('[')) counts = line == "[default]";
    const size_t equals = line.find('=');
    if (!counts || line.starts_with('#') || equals == line.npos) continue;
    const std::string name = trimmed(line.substr(0, equals));
    const std::string value = trimmed(line.substr(equals + 1));
    if (name == "aws_access_key_id") found.access_key = value;
    if (name == "aws_secret_access_key") found.secret_key = value;
    if (name == "aws_session_token") found.session_token = value;
  }
  if (found.access_key.empty() || found.secret_key.empty())
    throw Error(Errc::invalid_argument,
                "{} has no aws_access_key_id and aws_secret_access_key in its section [default]",
                file);
  return found;
}

Credentials find_credentials(const fs::path& file) {
  if (!file.empty()) return parse_credentials(read_file(file), file.string());
  Credentials found{variable(kAccessKey), variable(kSecretKey), variable(kSessionToken)};
  if (!found.access_key.empty() && !found.secret_key.empty()) return found;
  const std::string shared = variable(kFile);
  return shared.empty() ? Credentials() : parse_credentials(read_file(shared), shared);
}

void forget_credentials_in_environment() {
  for (const char* name : {kAccessKey, kSecretKey, kSessionToken}) ::unsetenv(name);
}

}  // namespace halogen::objectstore
