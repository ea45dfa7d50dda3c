// What a store does for its merges, which run in the compactor's thread.
#include "base/error.h"
#include "base/log.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::milliseconds kWaitingTime{1000};  // For a record's end, an ancestor's WAL.

}  // namespace

// `merged`: what the base run was last merged for.
void TimelineStore::make_merger(const RetainSet& merged) {
  StoreMerger::Options merging{options_->merging, folder_ + "/layers", timeline_,
                               options_->file_bytes};
  StoreMerger::Owner& owner = *this;
  merger_ = std::make_unique<StoreMerger>(std::move(merging), owner, merged);
}

bool TimelineStore::merge_wanted() const {
  if (merging_off_ || stopping_ || resting_ || !merger_) return false;
  return merging_ ||
         merger_->wanted(view_->runs, view_->retain);  // Which is the step's while one runs.
}

bool TimelineStore::merging() const {
  MutexLock lock(mutex_);
  return merge_wanted();
}

void TimelineStore::resume_merging() {
  MutexLock lock(mutex_);
  request_merge();
}

void TimelineStore::request_merge() {
  if (merge_wanted()) options_->compactor->request(*this);
}

std::optional<std::chrono::milliseconds> TimelineStore::compact_once() {
  {
    MutexLock lock(mutex_);
    if (merging_ || !merge_wanted()) return std::nullopt;
    if (within_record_) return kWaitingTime;
    // Images and lengths may need what the ancestors have up to the branch point.
    if (ancestor_ && !ancestor_->arrived(ancestor_lsn_)) return kWaitingTime;
    merging_ = true;
  }
  bool more = false;
  try {
    more = merger_->step();
    merge_retry_ = std::chrono::milliseconds(0);
  } catch (const Error& error) {
    more = true;
    if (error.code() == Errc::corrupt) {
      // It would fail again and again. Reads of that part fail too.
      MutexLock lock(mutex_);
      merging_off_ = true;
      logger.error("merging layer files stops until the restart: {}", error.what());
    } else if (error.code() != Errc::cancelled && error.code() != Errc::conflict &&
               error.code() != Errc::unavailable) {  // Which is told where files are fetched.
      report_failure(error);
    }
    merge_retry_ = std::clamp(merge_retry_ * 2, options_->first_retry, options_->last_retry);
  } catch (const std::exception& error) {  // Memory ran out.
    more = true;
    report_failure(Error(Errc::unavailable, "{}", error.what()));
    merge_retry_ = options_->last_retry;
  }
  MutexLock lock(mutex_);
  merging_ = false;
  changed_.notify_all();
  return more && !merging_off_ && !stopping_ ? std::optional(merge_retry_) : std::nullopt;
}

// A part of a record is not to be committed by others either.
void TimelineStore::commit_runs(const std::function<void(Runs&)>& edit) {
  MutexLock committing(commit_mutex_);
  {
    MutexLock lock(mutex_);
    if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
    if (within_record_) throw Error(Errc::conflict, "a record is being written");
  }
  commit(edit, nullptr);
}

void TimelineStore::pause() const {
  if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
}

Chain TimelineStore::collect_inherited(const Key& key) const {
  return ancestor_ ? ancestor_->collect_any(key, ancestor_lsn_) : Chain();
}

std::string TimelineStore::make_page(const PageKey& key, const Chain& chain) const {
  if (!options_->reconstruct || waits_cancelled_) return "";
  return options_->reconstruct(tenant_, key, chain);
}

}  // namespace halogen::pageserver
