#include "proxy/session/request_stats.h"

namespace halogen::proxy {

void RequestStats::came(size_t bytes, bool under_way) {
  if (tally_) tally_->totals.received += bytes;
  if (asking_ && under_way) return;
  asked_ = steady_clock::now();
  asking_ = tally_ != nullptr;
  if (!in_transaction_) transaction_began_ = asked_;
}

void RequestStats::answered(bool in_transaction) {
  if (!asking_) return;
  asking_ = false;
  auto now = steady_clock::now();
  tally_->totals.add_request(now - asked_);
  in_transaction_ = in_transaction;
  if (!in_transaction_) tally_->totals.transaction_time += now - transaction_began_;
}

void RequestStats::sent(size_t bytes) {
  if (tally_) tally_->totals.sent += bytes;
}

void RequestStats::completed(uint64_t queries, uint64_t transactions) {
  queries_ += queries;
  transactions_ += transactions;
  if (!tally_) return;
  tally_->totals.queries += queries;
  tally_->totals.transactions += transactions;
}

RequestStats::Waiting::Waiting(RequestStats& stats) : stats_(stats) {
  stats.waits_since_ = steady_clock::now();
}

RequestStats::Waiting::~Waiting() {
  if (stats_.tally_) stats_.tally_->totals.wait_time += steady_clock::now() - *stats_.waits_since_;
  stats_.waits_since_.reset();
}

}  // namespace halogen::proxy
