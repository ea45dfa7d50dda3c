#include "control/console/sessions.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <sstream>

#include "base/bytes.h"
#include "base/error.h"
#include "base/ids.h"
#include "base/log.h"

namespace halogen::control::console {
namespace {

const log::Logger logger("console");

std::string hash_of(std::string_view text) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return to_hex(std::as_bytes(std::span(digest)));
}

// In time that depends on neither.
bool same(const std::string& one, const std::string& other) {
  std::string left = hash_of(one);
  std::string right = hash_of(other);
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

std::string trimmed(const std::string& text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

int64_t seconds(SystemTime at) {
  return std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
}

}  // namespace

ConsoleSessions::ConsoleSessions(Options options) : options_(std::move(options)) {
  load();
  password();
}

ConsoleSessions::SignIn ConsoleSessions::with_key(const std::string& key,
                                                  const std::string& address) {
  if (!may_try(address)) return {SignIn::Outcome::too_many, ""};
  std::string hash = hash_of(key);
  return enter(options_.knows_key(hash), address, hash);
}

ConsoleSessions::SignIn ConsoleSessions::with_password(const std::string& given,
                                                       const std::string& address) {
  if (!may_try(address)) return {SignIn::Outcome::too_many, ""};
  const std::string right = password();
  return enter(right.size() >= kLeastPassword && same(given, right), address, "");
}

ConsoleSessions::SignIn ConsoleSessions::with_link(const std::string& secret,
                                                   const std::string& address) {
  if (!may_try(address)) return {SignIn::Outcome::too_many, ""};
  std::optional<Token> token = Token::parse(secret);
  bool right = false;
  if (token) {
    MutexLock lock(mutex_);
    const SystemTime* expires = links_.find(*token);
    right = expires != nullptr && *expires > options_.now();
    links_.remove(*token);
  }
  return enter(right, address, "");
}

bool ConsoleSessions::may_try(const std::string& address) {
  MutexLock lock(mutex_);
  const SystemTime since = options_.now() - kFailureTime;
  while (!failures_.empty() && failures_.front().at < since) failures_.pop_front();
  auto of_one = std::count_if(failures_.begin(), failures_.end(),
                              [&](const Failure& one) { return one.address == address; });
  return static_cast<size_t>(of_one) < kFailuresOfOne && failures_.size() < kFailuresOfAll;
}

ConsoleSessions::SignIn ConsoleSessions::enter(bool right, const std::string& address,
                                               const std::string& key) {
  MutexLock lock(mutex_);
  if (!right) {
    failures_.push_back({options_.now(), address});
    return {};
  }
  forget_expired();
  while (sessions_.size() >= kMostSessions)
    sessions_.erase(std::min_element(
        sessions_.begin(), sessions_.end(),
        [](const auto& one, const auto& two) { return one.second.expires < two.second.expires; }));
  std::string token = Token::random().str();
  sessions_[hash_of(token)] = {options_.now() + kSessionTime, key};
  save();
  logger.info("signed in from {}", address);
  return {SignIn::Outcome::done, token};
}

bool ConsoleSessions::admits(std::string_view token) { return key_of(token).has_value(); }

std::optional<std::string> ConsoleSessions::key_of(std::string_view token) {
  if (token.empty()) return std::nullopt;
  std::string key;
  {
    MutexLock lock(mutex_);
    auto found = sessions_.find(hash_of(token));
    if (found == sessions_.end() || found->second.expires <= options_.now()) return std::nullopt;
    key = found->second.key;
  }
  if (!key.empty() && !options_.knows_key(key)) return std::nullopt;
  return key;
}

void ConsoleSessions::sign_out(std::string_view token) {
  MutexLock lock(mutex_);
  if (sessions_.erase(hash_of(token)) > 0) save();
}

std::string ConsoleSessions::make_link() {
  MutexLock lock(mutex_);
  const SystemTime now = options_.now();
  links_.remove_if([&](SystemTime expires) { return expires <= now; });
  if (links_.size() >= kMostLinks)
    throw Error(Errc::conflict, "there are {} sign-in links already: use one, or the password",
                kMostLinks);
  return links_.add(now + kLinkTime).str();
}

std::string ConsoleSessions::password() {
  const fs::path file = options_.home / "operator_password";
  std::error_code ignored;
  if (fs::exists(file, ignored)) return trimmed(read_file(file));
  std::string made = random_name(20);
  write_file_durably(file, made + "\n", 0600);
  return made;
}

// One line each: the hash of its token, the second it ends, the hash of its key or "-".
void ConsoleSessions::load() {
  const fs::path file = options_.home / "console_sessions";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  MutexLock lock(mutex_);
  std::istringstream lines(read_file(file));
  std::string hash;
  int64_t expires = 0;
  std::string key;
  while (sessions_.size() < kMostSessions && lines >> hash >> expires >> key)
    sessions_[hash] = {SystemTime(std::chrono::seconds(expires)), key == "-" ? "" : key};
  forget_expired();
}

void ConsoleSessions::forget_expired() {
  const SystemTime now = options_.now();
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second.expires <= now; });
}

void ConsoleSessions::save() {
  std::string text;
  for (const auto& [hash, session] : sessions_)
    text += fmt::format("{} {} {}\n", hash, seconds(session.expires),
                        session.key.empty() ? "-" : session.key);
  write_file_durably(options_.home / "console_sessions", text, 0600);
}

}  // namespace halogen::control::console
