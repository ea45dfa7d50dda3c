#include "control/api/audit_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "base/throttle.h"
#include "control/catalog.h"
#include "control/timestamp.h"

namespace halogen::control::api {
namespace {

const log::Logger logger("api");

}  // namespace

AuditLog::AuditLog(fs::path file, uintmax_t largest) : file_(std::move(file)), largest_(largest) {
  MutexLock lock(mutex_);
  open();
}

void AuditLog::open() {
  fd_ = open_file(file_, O_WRONLY | O_CREAT | O_APPEND, 0600);
  std::error_code ignored;
  size_ = fs::file_size(file_, ignored);
}

void AuditLog::note(const std::string& method, const std::string& target, const Request& request,
                    const std::string& request_id, int status) {
  const Principal& by = request.principal;
  nlohmann::json line = {{"at", timestamp(now_micros())},
                         {"method", method},
                         {"path", target},
                         {"status", status},
                         {"key_id", by.key_id},
                         {"key_kind", by.user_id.empty() ? "none" : key_kind_name(by.kind)},
                         {"from", request.address},
                         {"request_id", request_id}};
  if (!by.user_id.empty()) line["user_id"] = by.user_id;
  if (!by.org_id.empty()) line["org_id"] = by.org_id;
  if (!by.project_id.empty()) line["key_project_id"] = by.project_id;
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  MutexLock lock(mutex_);
  if (size_ >= largest_) {
    std::error_code ignored;
    fs::rename(file_, file_.string() + ".1", ignored);
    open();
  }
  // One write, so that lines are whole.
  if (::write(fd_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    static Throttle throttle;
    if (throttle.allow())
      logger.error("{}: cannot be written: {}", file_.string(), std::strerror(errno));
  }
  size_ += text.size();
}

bool is_audited(const std::string& method, const std::string& pattern) {
  return method != "GET" || pattern.ends_with("/reveal_password") ||
         pattern.ends_with("/connection_uri") || pattern.ends_with("/login");
}

}  // namespace halogen::control::api
