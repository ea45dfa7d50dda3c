// audit_log.h: who changed what, and who was shown a secret: one line of JSON each, in a file that
// only grows, and is renamed when it is large.
//
// A line is with the operating system before the answer is sent. It holds no body and no secret.
//
// Threads: any.
#pragma once
#include <string>

#include "base/file.h"
#include "base/mutex.h"
#include "control/api/request.h"

namespace halogen::control::api {

class AuditLog {
 public:
  // `<file>` and, when that has become too large, `<file>.1`.
  explicit AuditLog(fs::path file, uintmax_t largest = 64 << 20);

  // `target` is the path without its query.
  void note(const std::string& method, const std::string& target, const Request& request,
            const std::string& request_id, int status);

 private:
  void open() REQUIRES(mutex_);

  const fs::path file_;
  const uintmax_t largest_;
  Mutex mutex_;
  UniqueFd fd_ GUARDED_BY(mutex_);
  uintmax_t size_ GUARDED_BY(mutex_) = 0;
};

// Whether a request is one that is noted: it changes something, or asks for a password.
bool is_audited(const std::string& method, const std::string& pattern);

}  // namespace halogen::control::api
