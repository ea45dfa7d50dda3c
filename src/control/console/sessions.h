// sessions.h: who is signed in at the console, and the ways in: a key of the API, the operator's
// password, a link that works once.
//
// Of a session's token only a hash is kept, in <home>/console_sessions, so that a restart signs
// nobody out. The operator's password is in <home>/operator_password, in clear, as the operator's
// key of the API is: both let the user who owns the home in, and a password written there by hand
// counts at once. Attempts are limited for each address and in all.
//
// Threads: any may call.
#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/mutex.h"
#include "base/token.h"

namespace halogen::control::console {

using SystemTime = std::chrono::system_clock::time_point;

constexpr std::chrono::hours kSessionTime{24 * 14};
constexpr std::chrono::minutes kLinkTime{60};
constexpr size_t kMostSessions = 256;  // The oldest are signed out for newer ones.
constexpr size_t kMostLinks = 64;
constexpr size_t kLeastPassword = 8;
// Failures within a minute, after which nothing is checked for the rest of it.
constexpr std::chrono::seconds kFailureTime{60};
constexpr size_t kFailuresOfOne = 10;
constexpr size_t kFailuresOfAll = 100;

class ConsoleSessions {
 public:
  struct Options {
    fs::path home;
    // By the SHA-256 of a key, in hex: asked at each use of a session that came in by a key, so
    // that a revoked key ends its sessions.
    std::function<bool(const std::string& hash)> knows_key;
    std::function<SystemTime()> now = [] { return std::chrono::system_clock::now(); };
  };
  explicit ConsoleSessions(Options options);

  struct SignIn {
    enum class Outcome { done, wrong, too_many };
    Outcome outcome = Outcome::wrong;
    std::string token;  // Of the new session, if it is done.
  };
  SignIn with_key(const std::string& key, const std::string& address);
  SignIn with_password(const std::string& password, const std::string& address);
  // A link's secret is used up by this.
  SignIn with_link(const std::string& secret, const std::string& address);

  bool admits(std::string_view token);
  // The hash of the key that an admitted session came in by; empty: it is the operator's. nullopt
  // for one that is not admitted.
  std::optional<std::string> key_of(std::string_view token);
  void sign_out(std::string_view token);

  // The secret of a link, for once, within kLinkTime.
  std::string make_link();
  // The operator's, as it is now; made if there is none.
  std::string password();

 private:
  struct Session {
    SystemTime expires;
    std::string key;  // The hash of the key it came in by, or empty.
  };

  SignIn enter(bool right, const std::string& address, const std::string& key);
  bool may_try(const std::string& address);
  void load();
  void forget_expired() REQUIRES(mutex_);
  void save() REQUIRES(mutex_);

  const Options options_;
  Mutex mutex_;  // Held while the file is written: that is once a sign-in.
  std::map<std::string, Session> sessions_ GUARDED_BY(mutex_);  // By the token's hash.
  TokenTable<SystemTime> links_ GUARDED_BY(mutex_);             // And when they expire.
  struct Failure {
    SystemTime at;
    std::string address;
  };
  std::deque<Failure> failures_ GUARDED_BY(mutex_);  // Of the last minute, oldest first.
};

}  // namespace halogen::control::console
