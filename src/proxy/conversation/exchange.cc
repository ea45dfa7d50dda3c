#include "proxy/conversation/exchange.h"

#include <algorithm>

#include "base/error.h"

// Syncs among data. A client that sends a Sync right behind the Execute of a COPY ... FROM STDIN
// has it taken for a part of the data, and not answered. But a COPY that fails before it reads
// leaves the Sync to be answered. Which of the two it was nobody says: such a Sync is doubtful. It
// was answered if ReadyForQuery is the next thing to come. When the client has sent another Sync by
// then, that is not certain either, so that one gets a mark ahead of it (Close of a statement that
// does not exist), which is not answered while the server skips, and a Sync of ours behind it: the
// answers then are Z 3 Z Z or Z Z.

namespace halogen::proxy {

OutstandingRequest& Exchange::expect(Kind kind, Job job, TextPtr text) {
  Request one;
  one.kind = kind;
  one.job = job;
  one.text = std::move(text);
  if (!one.hidden() && (phase == Phase::idle || phase == Phase::waits)) phase = Phase::asked;
  return outstanding.push(std::move(one));
}

// One that stands right behind what may be a COPY, with data behind it. A mark ends all doubt.
bool Exchange::has_doubtful_sync() const {
  bool data_behind = false;
  bool sync_before_data = false;
  for (auto one = outstanding.end(); one != outstanding.begin();) {
    --one;
    if (one->doubtful) return true;
    if (one->mark) return false;
    bool may_copy = one->kind == Kind::execute || one->kind == Kind::query;
    if (may_copy && sync_before_data) return true;
    bool sync = one->kind == Kind::sync;
    sync_before_data = sync && (data_behind || sync_before_data);
    data_behind = one->kind == Kind::copy_end || (sync && data_behind);
  }
  return false;
}

void Exchange::put_mark(std::string& to_server) {
  using namespace std::string_view_literals;
  wire::put_message(to_server, wire::Frontend::close, "Shalogen.none\0"sv);
  expect(Kind::close, Job::forget).mark = true;
}

void Exchange::put_sync(std::string& to_server, Job job) {
  wire::put_message(to_server, wire::Frontend::sync);
  expect(Kind::sync, job);
}

void Exchange::take_sync(std::string& to_server) {
  if (phase == Phase::copy_in) {
    put_sync(to_server, Job::none);
    outstanding.back().doubtful = true;
    return;
  }
  bool marked = has_doubtful_sync();
  if (marked) put_mark(to_server);
  put_sync(to_server, Job::none);
  phase = Phase::asked;
  if (marked) put_sync(to_server, Job::forget);
}

void Exchange::copy_data_ended() {
  if (phase == Phase::idle) return;
  expect(Kind::copy_end);
  if (phase == Phase::copy_in) phase = Phase::asked;
}

bool Exchange::amid_pipeline() const {
  if (phase == Phase::idle || phase == Phase::waits) return false;
  for (auto one = outstanding.end(); one != outstanding.begin();)
    if ((--one)->kind != Kind::copy_end) return !one->ends_in_ready();
  return true;
}

void Exchange::pop_copy_ends() {
  while (!outstanding.empty() && outstanding.front().kind == Kind::copy_end) outstanding.pop();
}

// The Sync behind the mark has been answered already, in place of the doubtful one.
std::optional<std::vector<OutstandingRequest>::iterator> Exchange::skipped(wire::Backend type) {
  pop_copy_ends();
  if (type != wire::Backend::ready_for_query || outstanding.empty()) return std::nullopt;
  if (outstanding.front().ends_in_ready()) return std::nullopt;
  auto mark = std::find_if(outstanding.begin(), outstanding.end(),
                           [](const Request& one) { return one.mark; });
  if (mark == outstanding.end()) return std::nullopt;
  return mark;
}

void Exchange::admit(wire::Backend type) {
  if (skipped(type)) {
    while (!outstanding.front().mark) outstanding.pop();
    outstanding.pop();
    outstanding.pop();
    return;
  }
  if (outstanding.empty()) return;
  bool says_nothing = type == wire::Backend::ready_for_query || type == wire::Backend::notice ||
                      type == wire::Backend::parameter_status;
  while (!says_nothing && !outstanding.empty() && outstanding.front().doubtful) {
    outstanding.pop();
    pop_copy_ends();
  }
}

void Exchange::copy_in_begins() {
  phase = Phase::copy_in;
  for (auto one = std::next(outstanding.begin()); one != outstanding.end(); ++one) {
    bool sync = one->kind == Kind::sync && !one->hidden();
    if (!sync) phase = Phase::asked;  // Whatever follows comes behind the data.
    if (!sync) return;
    one->doubtful = true;
  }
}

// It was successful, so it has read all that was meant for it.
void Exchange::copy_has_ended() {
  for (auto one = outstanding.begin(); one != outstanding.end();) {
    if (!one->doubtful) {
      ++one;
      continue;
    }
    auto behind = one - outstanding.begin();
    outstanding.erase(one);
    one = outstanding.begin() + behind;
  }
}

bool Exchange::ready(char status) {
  transaction_status = status;
  bool hidden = outstanding.front().hidden();
  bool verified = outstanding.front().job == Job::verify;
  bool ends = !hidden || verified || outstanding.front().job == Job::forget;
  outstanding.pop();
  pop_copy_ends();
  if (phase == Phase::copy_in) phase = Phase::asked;
  if (ends && outstanding.empty() && phase == Phase::asked)
    phase = verified ? Phase::waits : Phase::idle;
  return !hidden;
}

}  // namespace halogen::proxy
