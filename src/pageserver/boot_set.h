// boot_set.h: which pages computes of a timeline ask for first when they boot, so that the next
// skeleton can bring them along. Best effort: losing it costs time, nothing else.
//
// Threads: any. It is in its file alone, as there is one for each of many timelines at rest; of two
// that are written at the same time one stays.
#pragma once
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/deadline.h"
#include "base/file.h"
#include "base/mutex.h"
#include "protocol/page_key.h"

namespace halogen::pageserver {

constexpr size_t kBootSetPages = 256;
constexpr std::chrono::seconds kBootTime{2};  // From a session's first request.

class BootSet {
 public:
  explicit BootSet(fs::path file) : file_(std::move(file)) {}

  // Empty if there is no file, or it is damaged.
  std::vector<PageKey> pages() const;
  // What one boot had to ask for goes first; of `before`, what still fits stays.
  void add(const std::vector<PageKey>& asked, const std::vector<PageKey>& before) const;

  static std::string encode(const std::vector<PageKey>& pages);
  // nullopt if damaged.
  static std::optional<std::vector<PageKey>> parse(Bytes bytes);

 private:
  const fs::path file_;
};

// What one session asks for in its first moments.
class BootRecorder {
 public:
  // Notes the pages of a request. True once, when the time is over: take the result then.
  bool note(const std::vector<PageKey>& pages) EXCLUDES(mutex_);
  // The session is over. True if the result has not been taken.
  bool finish() EXCLUDES(mutex_);
  std::vector<PageKey> asked() EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::optional<Deadline> until_ GUARDED_BY(mutex_);
  bool over_ GUARDED_BY(mutex_) = false;
  std::vector<PageKey> asked_ GUARDED_BY(mutex_);
  std::unordered_set<PageKey, PageKeyHash> seen_ GUARDED_BY(mutex_);
};

}  // namespace halogen::pageserver
