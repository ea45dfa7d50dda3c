// outstanding.h: the requests that a server has not answered yet, in order, and whose they are.
#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "postgres/wire.h"
#include "proxy/conversation/statements.h"

namespace halogen::proxy {

struct OutstandingRequest {
  // The message that is to be answered. Sync, query and function call end in ReadyForQuery;
  // copy_data and copy_end are not answered, they mark where the client's data stand and end.
  enum class Kind : uint8_t {
    query,
    function,
    parse,
    bind,
    describe,
    execute,
    close,
    sync,
    copy_data,
    copy_end
  };
  // What we have to do with the answer, beside passing it on.
  enum class Job : uint8_t {
    none,
    restore,  // The session's state: not for the client.
    abort,    // A failed transaction made anew: not for the client.
    prepare,  // What a statement needs that this server lacked: not for the client, unless it
              // fails.
    learn,    // What a new statement looks like: not for the client.
    verify,   // The same, of one that is prepared again; the client waits.
    forget,   // A statement that is closed by us: not for the client.
    name,     // The client's own Parse.
    unname,   // The client's Close.
    look,     // The client's own Describe of its unnamed statement: we learn by it, too.
    raise,    // The server was made to fail; the client is told something else.
  };

  Kind kind = Kind::sync;
  Job job = Job::none;
  bool ends_unnamed = false;      // The client's unnamed statement.
  bool doubtful = false;          // A Sync that may have been taken for data of a COPY.
  bool asks_about_syncs = false;  // Tells whether it was: exchange.cc.
  bool own = false;               // A Parse of a statement to the extension.
  bool may_deallocate = false;    // SQL that may take a name away: the server tells whether.
  // Of what asks about Syncs: the ReadyForQuery that came ahead of its answer, to Syncs of the
  // client's or to those it was asked with. Goes with the question, also where a server is lost.
  uint32_t kept_ready = 0;
  ClientStatement unnamed_before;  // What the unnamed one was.
  TextPtr text;
  std::string name;                                // The client's, where the job needs it.
  std::string server_name;                         // Of a Parse by the client.
  std::unique_ptr<ClientStatement> before;         // What that name stood for, if undone.
  std::unique_ptr<wire::ErrorFields> replacement;  // Of `raise`.

  bool ends_in_ready() const {
    return kind == Kind::sync || kind == Kind::query || kind == Kind::function;
  }
  bool is_data() const { return kind == Kind::copy_data || kind == Kind::copy_end; }
  bool hidden() const { return job >= Job::restore && job <= Job::forget; }
};

// First in, first out; holds no memory when empty and idle for long.
class OutstandingRequests {
 public:
  bool empty() const { return head_ == items_.size(); }
  OutstandingRequest& front() { return items_[head_]; }
  const OutstandingRequest& front() const { return items_[head_]; }
  OutstandingRequest& back() { return items_.back(); }
  const OutstandingRequest& back() const { return items_.back(); }
  OutstandingRequest& push(OutstandingRequest one) { return items_.emplace_back(std::move(one)); }
  void pop() {
    if (++head_ == items_.size()) {
      clear();
      return;
    }
    items_[head_ - 1] = OutstandingRequest{};
    if (head_ < kMostDone) return;  // A pipeline that never runs dry.
    items_.erase(items_.begin(), begin());
    head_ = 0;
  }
  void clear() {
    head_ = 0;
    if (items_.capacity() > kKept)
      items_ = std::vector<OutstandingRequest>();
    else
      items_.clear();
  }
  // The rest, for looking through.
  std::vector<OutstandingRequest>::iterator begin() {
    return items_.begin() + static_cast<std::ptrdiff_t>(head_);
  }
  std::vector<OutstandingRequest>::iterator end() { return items_.end(); }
  std::vector<OutstandingRequest>::const_iterator begin() const {
    return items_.begin() + static_cast<std::ptrdiff_t>(head_);
  }
  std::vector<OutstandingRequest>::const_iterator end() const { return items_.end(); }
  void erase_behind_front(const std::function<bool(const OutstandingRequest&)>& goes) {
    items_.erase(std::remove_if(std::next(begin()), end(), goes), end());
  }

 private:
  static constexpr size_t kKept = 8;
  static constexpr size_t kMostDone = 1024;
  std::vector<OutstandingRequest> items_;
  size_t head_ = 0;
};

}  // namespace halogen::proxy
