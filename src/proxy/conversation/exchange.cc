#include "proxy/conversation/exchange.h"

#include <algorithm>

#include "base/error.h"

// Syncs among data. A client that sends a Sync right behind the Execute of a COPY ... FROM STDIN
// has it taken for a part of the data, and not answered. But a COPY that fails before it reads
// leaves the Sync to be answered. Which of the two it was nobody says: such a Sync is doubtful, and
// what the client sends behind its data would be skipped in the one case and done in the other. So
// that waits until the server was asked:
//
// 1. Close of a statement that does not exist, and Flush. If the COPY succeeds, or is none, or the
//    Syncs are answered, the answer comes behind theirs.
// 2. After an error the server may be skipping, and say nothing. Syncs are sent, one more than
// there
//    are doubtful ones. If only they are answered it skips, and the client must send its own Sync.
//    Else some answers stand before that to the Close: so many of the client's were answered.
//
// A Sync is doubtful no more once the COPY has failed before it can have read: copy_has_failed().

namespace halogen::proxy {
namespace {

using Request = OutstandingRequest;

bool is_of_a_copy(const Request& one) {
  return one.doubtful || one.is_data() || one.asks_about_syncs;
}

// The question, if those doubtful Syncs are at the front that it is about; else the end.
auto question_at_front(OutstandingRequests& all) {
  auto question =
      std::ranges::find_if(all, [](const Request& one) { return !one.doubtful && !one.is_data(); });
  bool is_there = question != all.end() && question->asks_about_syncs && all.front().doubtful;
  return is_there ? question : all.end();
}

}  // namespace

OutstandingRequest& Exchange::expect(Kind kind, Job job, TextPtr text) {
  Request one;
  one.kind = kind;
  one.job = job;
  one.text = std::move(text);
  if (!one.hidden() && (phase == Phase::idle || phase == Phase::waits)) phase = Phase::asked;
  return outstanding.push(std::move(one));
}

void Exchange::take_sync() {
  expect(Kind::sync).doubtful = phase == Phase::copy_in;
  if (phase != Phase::copy_in) phase = Phase::asked;
}

void Exchange::take_data(Kind kind) {
  if (phase == Phase::idle || outstanding.empty()) return;
  if (kind == Kind::copy_end && phase == Phase::copy_in) phase = Phase::asked;
  if (outstanding.back().kind != kind) expect(kind);
}

// One that is known to be doubtful, or stands behind what may be a COPY, with data behind it.
bool Exchange::in_doubt(wire::Frontend next) const {
  if (outstanding.empty()) return false;
  bool failed = outstanding.front().doubtful && std::ranges::all_of(outstanding, is_of_a_copy);
  bool more_data = phase == Phase::copy_in || outstanding.back().kind == Kind::copy_data;
  if (next == wire::Frontend::sync && more_data && !failed) return false;
  bool data_behind = false;
  bool sync_before_data = false;
  for (auto one = outstanding.end(); one != outstanding.begin();) {
    --one;
    if (one->doubtful) return true;
    if (one->hidden()) continue;
    bool sync = one->kind == Kind::sync;
    if (!sync && !one->is_data())
      return sync_before_data && (one->kind == Kind::execute || one->kind == Kind::query);
    sync_before_data |= sync && data_behind;
    data_behind |= one->is_data();
  }
  return false;
}

size_t Exchange::doubtful_syncs() const {
  return static_cast<size_t>(std::ranges::count_if(outstanding, &Request::doubtful));
}

void Exchange::ask_about_syncs(std::string& to_server) {
  using namespace std::string_view_literals;
  if (!std::ranges::any_of(outstanding, &Request::asks_about_syncs)) {
    wire::put_message(to_server, wire::Frontend::close, "Shalogen.none\0"sv);
    expect(Kind::close, Job::forget).asks_about_syncs = true;
  }
  if (question_at_front(outstanding) == outstanding.end())
    return wire::put_message(to_server, wire::Frontend::flush);
  for (size_t more = doubtful_syncs() + 1; more > 0; more--) {
    wire::put_message(to_server, wire::Frontend::sync);
    expect(Kind::sync, Job::forget);
  }
}

bool Exchange::keeps_ready(char status) {
  auto question = question_at_front(outstanding);
  bool asked = question != outstanding.end() && std::next(question) != outstanding.end();
  if (!asked) return false;
  transaction_status = status;
  if (++question->kept_ready <= doubtful_syncs()) return true;
  outstanding.clear();
  phase = Phase::skipping;
  return true;
}

size_t Exchange::settle_syncs() {
  if (question_at_front(outstanding) == outstanding.end()) return 0;
  while (!outstanding.front().asks_about_syncs) outstanding.pop();
  return outstanding.front().kept_ready;
}

bool Exchange::amid_pipeline() const {
  if (phase == Phase::idle || phase == Phase::waits) return false;
  for (auto one = outstanding.end(); one != outstanding.begin();)
    if (!(--one)->is_data()) return !one->ends_in_ready();
  return true;
}

void Exchange::pass_over_data() {
  while (!outstanding.empty() && outstanding.front().is_data()) outstanding.pop();
}

void Exchange::copy_in_begins() {
  phase = Phase::copy_in;
  for (auto one = std::next(outstanding.begin()); one != outstanding.end(); ++one) {
    if (one->kind == Kind::copy_data) continue;
    bool sync = one->kind == Kind::sync && !one->hidden();
    if (!sync) phase = Phase::asked;  // Whatever follows comes behind the data.
    if (!sync) return;
    one->doubtful = true;
  }
}

// It was successful, so it has read all that was meant for it.
void Exchange::copy_has_ended() {
  bool read = true;
  outstanding.erase_behind_front([&read](const Request& one) {
    read &= one.doubtful || one.is_data();
    bool its = read;
    read &= one.kind != Kind::copy_end;
    return its;
  });
}

// A COPY that has begun to read fails by its data, or because somebody intervenes. Where neither
// can be, it has failed before, and the Syncs behind it are answered.
void Exchange::copy_has_failed(bool intervened) {
  if (phase == Phase::copy_in) phase = Phase::asked;
  if (intervened || std::ranges::any_of(outstanding, &Request::is_data)) return;
  for (Request& one : outstanding) one.doubtful = false;
}

bool Exchange::ready(char status) {
  transaction_status = status;
  bool hidden = outstanding.front().hidden();
  bool verified = outstanding.front().job == Job::verify;
  bool ends = !hidden || verified || outstanding.front().job == Job::forget;
  outstanding.pop();
  pass_over_data();
  if (phase == Phase::copy_in) phase = Phase::asked;
  if (ends && outstanding.empty() && phase == Phase::asked)
    phase = verified ? Phase::waits : Phase::idle;
  return !hidden;
}

}  // namespace halogen::proxy
