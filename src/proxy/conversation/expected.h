// expected.h: the answers a server owes, in order, and whom each is for.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "postgres/wire.h"
#include "proxy/conversation/statements.h"

namespace halogen::proxy {

struct Expected {
  // The message that is to be answered. Sync, query and function call end in ReadyForQuery;
  // copy_end is not answered, it marks where the client's data ended.
  enum class Kind : uint8_t {
    query,
    function,
    parse,
    bind,
    describe,
    execute,
    close,
    sync,
    copy_end
  };
  // What we have to do with the answer, beside passing it on.
  enum class Job : uint8_t {
    none,
    restore,  // The session's state: not for the client.
    abort,    // A failed transaction made anew: not for the client.
    prepare,  // A statement this server lacked: not for the client, unless it fails.
    learn,    // What a new statement looks like: not for the client.
    verify,   // The same, of one that is prepared again; the client waits.
    forget,   // A statement pushed out: not for the client.
    name,     // The client's own Parse.
    unname,   // The client's Close, or its DEALLOCATE by SQL.
    raise,    // The server was made to fail; the client is told something else.
  };

  Kind kind = Kind::sync;
  Job job = Job::none;
  bool ends_unnamed = false;  // The client's unnamed statement.
  TextPtr unnamed_before;     // What that was.
  TextPtr text;
  std::string name;                                // The client's, where the job needs it.
  std::unique_ptr<ClientStatement> before;         // What that name stood for, if undone.
  std::unique_ptr<wire::ErrorFields> replacement;  // Of `raise`.

  bool ends_in_ready() const {
    return kind == Kind::sync || kind == Kind::query || kind == Kind::function;
  }
  bool hidden() const { return job >= Job::restore && job <= Job::forget; }
};

// First in, first out; holds no memory when empty and idle for long.
class ExpectedQueue {
 public:
  bool empty() const { return head_ == items_.size(); }
  Expected& front() { return items_[head_]; }
  const Expected& front() const { return items_[head_]; }
  Expected& back() { return items_.back(); }
  Expected& push(Expected one) { return items_.emplace_back(std::move(one)); }
  void pop() {
    if (++head_ == items_.size()) {
      clear();
      return;
    }
    items_[head_ - 1] = Expected{};
    if (head_ < kMostDone) return;  // A pipeline that never runs dry.
    items_.erase(items_.begin(), begin());
    head_ = 0;
  }
  void clear() {
    head_ = 0;
    if (items_.capacity() > kKept)
      items_ = std::vector<Expected>();
    else
      items_.clear();
  }
  // The rest, for looking through.
  std::vector<Expected>::iterator begin() {
    return items_.begin() + static_cast<std::ptrdiff_t>(head_);
  }
  std::vector<Expected>::iterator end() { return items_.end(); }
  void erase(std::vector<Expected>::iterator one) { items_.erase(one); }

 private:
  static constexpr size_t kKept = 8;
  static constexpr size_t kMostDone = 1024;
  std::vector<Expected> items_;
  size_t head_ = 0;
};

}  // namespace halogen::proxy
