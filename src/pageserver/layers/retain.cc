#include "pageserver/layers/retain.h"

#include <algorithm>

namespace halogen::pageserver {

namespace {

constexpr uint64_t kLargestTail = 64 << 10;

}  // namespace

bool RetainSet::readable(Lsn lsn) const {
  return lsn >= horizon || std::binary_search(points.begin(), points.end(), lsn);
}

std::vector<Lsn> RetainSet::reads_to_keep() const {
  std::vector<Lsn> reads(points.begin(), std::lower_bound(points.begin(), points.end(), horizon));
  reads.push_back(horizon);
  return reads;
}

void Keeper::add(const EntryView& version) {
  if (!key_ || *key_ != version.key) {
    finish();
    key_ = version.key;
  }
  pass_reads_below(version.lsn);
  if (next_read_ == reads_.size()) {
    // What is not there at the horizon begins anew above it; were that not so, a change would lose
    // its base.
    if (!is_base(version.kind) && !above_) emit_chain();
    above_ = true;
    return emit(version.lsn, version.kind, version.bytes);
  }
  if (is_base(version.kind)) {
    chain_.clear();
    emitted_ = 0;
  }
  chain_.push_back(version.value());
}

void Keeper::finish() {
  if (!key_) return;
  pass_reads_below(Lsn(UINT64_MAX));
  if (tail_.bytes > 0) {
    if (auto image = rules_.image_at_end(*key_, tail_))
      emit_({*key_, tail_.lsn, ValueKind::image, as_bytes(*image)});
  }
  tail_ = {};
  key_.reset();
  next_read_ = 0;
  chain_.clear();
  emitted_ = 0;
  emitted_any_ = above_ = false;
}

void Keeper::pass_reads_below(Lsn lsn) {
  for (; next_read_ < reads_.size() && reads_[next_read_] < lsn; next_read_++)
    need_chain(reads_[next_read_]);
}

void Keeper::need_chain(Lsn read) {
  if (emitted_ == chain_.size() || !rules_.exists(*key_, read)) return;
  if (auto image = rules_.shorten(*key_, read, chain_)) {
    chain_ = {{chain_.back().lsn, ValueKind::image, std::move(*image)}};
    emitted_ = 0;
  }
  emit_chain();
}

void Keeper::emit_chain() {
  for (; emitted_ < chain_.size(); emitted_++) {
    const Value& value = chain_[emitted_];
    emit(value.lsn, value.kind, as_bytes(value.bytes));
  }
}

void Keeper::emit(Lsn lsn, ValueKind kind, Bytes bytes) {
  if (kind == ValueKind::tombstone && !emitted_any_ && rules_.forget_tombstone(*key_, lsn)) return;
  emitted_any_ = true;
  if (is_base(kind)) tail_ = {};
  tail_.lsn = lsn;
  tail_.changes += is_base(kind) ? 0 : 1;
  if (kind == ValueKind::record || kind == ValueKind::record_init || kind == ValueKind::native)
    tail_.bytes += bytes.size();
  if (key_->is_page() && (is_base(kind) || !tail_.chain.empty()))
    tail_.chain.push_back({lsn, kind, std::string(as_text(bytes))});
  if (tail_.bytes > kLargestTail) tail_.chain.clear();
  emit_({*key_, lsn, kind, bytes});
}

Chain keep(const Key& key, const Chain& versions, const RetainSet& retain, Keeper::Rules rules) {
  Chain kept;
  Keeper keeper(retain, std::move(rules),
                [&](const EntryView& entry) { kept.push_back(entry.value()); });
  for (const Value& version : versions)
    keeper.add({key, version.lsn, version.kind, as_bytes(version.bytes)});
  keeper.finish();
  return kept;
}

}  // namespace halogen::pageserver
