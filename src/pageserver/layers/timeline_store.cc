#include "pageserver/layers/timeline_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pageserver/layers/trash.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::milliseconds kLookInterval{100};

fs::path layers_folder(const fs::path& folder) { return folder / "layers"; }
fs::path trash_of(const fs::path& folder) { return folder / "trash"; }

std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

// What a crash left between a layer file and the manifest that would have named it, mostly. A file
// that was not finished is nothing; a whole one may be wanted when a manifest was restored.
void discard_strays(const fs::path& folder, const Manifest& manifest) {
  std::set<std::string> named;
  for (const LayerDesc& layer : manifest.layers) {
    named.insert(layer.file_name());
    named.insert(layer_note(layer.file_name()).string());
  }
  for (const std::string& name : files_in(layers_folder(folder))) {
    if (named.contains(name)) continue;
    const fs::path stray = layers_folder(folder) / name;
    if (stray.extension() == kLayerNote) {
      fs::remove(stray);
    } else if (stray.extension() == kUnfinished) {
      logger.info("removing {}: it was not finished", stray.string());
      fs::remove(stray);
    } else {
      const fs::path to = move_to_trash(stray, trash_of(folder));
      logger.info("{}: no manifest names it; moved to {} for {} days", stray.string(), to.string(),
                  kTrashDays.count());
    }
  }
  empty_trash(trash_of(folder));
}

// Adds to `newer` what is only in `older`. Both in key order.
void merge_under(std::vector<std::pair<Key, Value>>& newer,
                 std::vector<std::pair<Key, Value>> older) {
  if (older.empty()) return;
  if (newer.empty()) {
    newer = std::move(older);
    return;
  }
  std::vector<std::pair<Key, Value>> out;
  out.reserve(newer.size() + older.size());
  auto at = older.begin();
  for (auto& entry : newer) {
    for (; at != older.end() && at->first < entry.first; ++at) out.push_back(std::move(*at));
    if (at != older.end() && at->first == entry.first) ++at;
    out.push_back(std::move(entry));
  }
  std::move(at, older.end(), std::back_inserter(out));
  newer = std::move(out);
}

}  // namespace

void TimelineStore::create(const fs::path& folder, const Manifest& manifest) {
  fs::create_directories(layers_folder(folder));
  fsync_folder(folder.parent_path());
  manifest.save(folder);
}

TimelineStore::TimelineStore(std::shared_ptr<const Options> options, const fs::path& folder,
                             std::shared_ptr<const TimelineStore> ancestor)
    : options_(std::move(options)), folder_(folder.string()), ancestor_(std::move(ancestor)) {
  // A killed process may not have come to that, and the safekeeper forgets what is on disk here.
  fsync_folder(folder_);
  Manifest manifest = Manifest::load(folder_);
  CHECK(manifest.ancestor.has_value() == (ancestor_ != nullptr));
  fs::create_directories(layers_folder(folder_));
  discard_strays(folder_, manifest);
  timeline_ = manifest.timeline;
  tenant_ = manifest.tenant;
  major_ = manifest.major;
  ancestor_lsn_ = manifest.ancestor_lsn;
  start_lsn_ = manifest.start_lsn;
  next_id_ = manifest.next_id;
  if (options_->local_layers) options_->local_layers->open_timeline(timeline_);
  const std::set<std::string> here = files_in(layers_folder(folder_));
  auto view = std::make_shared<View>();
  view->runs = runs_of(manifest.layers, [&](const LayerDesc& desc) {
    return layer_file(desc, here.contains(desc.file_name()));
  });
  view->retain = manifest.retain;
  if (!view->runs.empty()) make_merger(manifest.retain);
  last_record_ = manifest.disk_consistent_lsn.value;
  disk_consistent_ = manifest.disk_consistent_lsn.value;
  last_put_ = frozen_end_ = manifest.disk_consistent_lsn;
  count_layers(view->runs, 1);
  view_ = std::move(view);
}

TimelineStore::~TimelineStore() {
  stop();
  options_->memory->leave(*this);
  options_->memory->open_changed(open_bytes_, 0);
  for (const Frozen& frozen : view()->frozen)
    options_->memory->add_frozen(-static_cast<int64_t>(frozen.layer->bytes()));
  count_layers(view()->runs, -1);
}

std::shared_ptr<LayerFile> TimelineStore::layer_file(const LayerDesc& desc, bool is_here) const {
  if (options_->local_layers)
    return std::make_shared<LayerFile>(options_->local_layers, tenant_, timeline_,
                                       layers_folder(folder_) / desc.file_name(), desc,
                                       options_->layer_cache, is_here);
  return std::make_shared<LayerFile>(layers_folder(folder_) / desc.file_name(), desc,
                                     layer_identity(timeline_, desc.id), options_->layer_cache);
}

void TimelineStore::count_layers(const Runs& all, double sign) {
  static metrics::Gauge files =
      metrics::gauge("halogen_pageserver_layer_files", "Layer files of all timelines.");
  static metrics::Gauge bytes =
      metrics::gauge("halogen_pageserver_layer_bytes", "Bytes of layer files of all timelines.");
  static metrics::Gauge runs = metrics::gauge(
      "halogen_pageserver_layer_runs", "Runs of layer files of all timelines; see merge_plan.h.");
  runs.add(sign * static_cast<double>(all.size()));
  for (const RunPtr& run : all) {
    files.add(sign * static_cast<double>(run->layers.size()));
    bytes.add(sign * static_cast<double>(run->bytes()));
  }
}

// So that the largest open layer is looked for among those that may have one. Not under
// write_mutex_, which the holders' calls take.
void TimelineStore::join_memory() {
  if (!in_memory_.exchange(true)) options_->memory->join(*this);
}

// In this order: a put that comes meanwhile may be known only from the next one on, no later.
void TimelineStore::leave_memory() {
  options_->memory->leave(*this);
  in_memory_ = false;
}

// What is frozen is written sooner or later, and then looked at again.
bool TimelineStore::has_room() const {
  if (view_->frozen.empty()) return true;
  if (view_->frozen.size() > options_->max_frozen) return false;
  uint64_t held = open_bytes_;
  for (const Frozen& frozen : view_->frozen) held += frozen.layer->bytes();
  return !options_->memory->must_wait(held);
}

void TimelineStore::wait_for_room() {
  options_->memory->keep_limit();
  const size_t frozen = frozen_now_.load(std::memory_order_relaxed);
  if (frozen == 0 || (frozen <= options_->max_frozen && !options_->memory->is_short())) return;
  MutexLock lock(mutex_);
  while (!stopping_ && !has_room()) changed_.wait(mutex_);
}

void TimelineStore::put(Lsn lsn, std::span<const Put> puts) {
  if (puts.empty()) return;
  join_memory();
  wait_for_room();
  if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
  MutexLock lock(write_mutex_);
  if (lsn < last_put_)
    throw Error(Errc::conflict, "a version at {} after one at {}", lsn.str(), last_put_.str());
  if (!open_) begin_open_layer();
  last_put_ = lsn;
  open_->put(lsn, puts);
  options_->memory->open_changed(open_bytes_, open_->bytes());
  open_bytes_ = open_->bytes();
  // One record may copy a whole database.
  if (lsn.value > last_record_ && open_->bytes() >= 2 * options_->freeze_bytes)
    freeze_within_record();
}

void TimelineStore::begin_open_layer() {
  open_since_ = steady_clock::now();
  open_ = std::make_shared<MemoryLayer>();
  MutexLock lock(mutex_);
  auto view = std::make_shared<View>(*view_);
  view->open = open_;
  view_ = std::move(view);
}

void TimelineStore::advance(Lsn lsn) {
  {
    MutexLock lock(write_mutex_);
    CHECK(lsn.value >= last_record_, "advance to {}, behind {}", lsn.str(), last_record_.load());
    last_record_ = lsn.value;
    // A record that failed half-way may have left puts above `lsn`; it will come again.
    bool whole = last_put_ <= lsn;
    if (whole && (freeze_wanted_ || open_bytes_ >= options_->freeze_bytes)) freeze();
  }
  // A waiter counts itself before it looks at last_record_, so it is seen here or sees the new one.
  if (waiters_ == 0) return;
  MutexLock lock(mutex_);
  arrived_.notify_all();
}

// Returns which flush will have everything put so far.
uint64_t TimelineStore::freeze() {
  freeze_wanted_ = false;
  MutexLock lock(mutex_);
  Lsn end(last_record_);
  if (is_open_empty() && end == frozen_end_) return freezes_;
  move_to_frozen(end, true);
  frozen_end_ = end;
  return ++freezes_;
}

// Only memory gains by it: a file of its own, which the manifest on disk names with the layer that
// has the record's end. A crash before that leaves nothing of the record.
void TimelineStore::freeze_within_record() {
  MutexLock lock(mutex_);
  move_to_frozen(Lsn(last_record_), false);
}

void TimelineStore::move_to_frozen(Lsn end, bool whole) {
  auto view = std::make_shared<View>(*view_);
  // Without a layer only the LSN moves on.
  view->frozen.insert(view->frozen.begin(),
                      {open_ ? std::move(open_) : std::make_shared<MemoryLayer>(), end, whole});
  options_->memory->add_frozen(static_cast<int64_t>(open_bytes_));
  options_->memory->open_changed(open_bytes_.exchange(0), 0);
  view->open.reset();
  view_ = std::move(view);
  frozen_now_ = view_->frozen.size();
  start_thread();
  changed_.notify_all();
}

void TimelineStore::freeze_older_than(steady_clock::duration age) {
  MutexLock lock(write_mutex_);
  if (is_open_empty() || steady_clock::now() - open_since_ < age) return;
  if (last_put_.value <= last_record_)
    freeze();
  else
    freeze_wanted_ = true;
}

void TimelineStore::flush(Deadline deadline) {
  uint64_t target;
  {
    MutexLock lock(write_mutex_);
    if (last_put_.value <= last_record_) {
      target = freeze();
    } else {  // In the middle of a record: its end freezes.
      freeze_wanted_ = true;
      MutexLock inner(mutex_);
      target = freezes_ + 1;
    }
  }
  MutexLock lock(mutex_);
  while (flushes_ < target) {
    if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
    if (deadline.passed())
      throw Error(Errc::timed_out, "{} was not written to files in time{}", folder_,
                  failing_ ? ": writing fails, see the log" : "");
    changed_.wait_until(mutex_, steady_clock::now() + deadline.left());
  }
}

void TimelineStore::cancel_waits() {
  MutexLock lock(mutex_);
  waits_cancelled_ = true;
  arrived_.notify_all();
}

void TimelineStore::stop() {
  cancel_waits();
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
    changed_.notify_all();
  }
  if (thread.joinable()) thread.join();
  options_->compactor->leave(*this);
}

bool TimelineStore::rest() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    const bool idle = !view_->has_memory() && !merging_ && !merge_wanted();
    if (!idle || working_ || stopping_ || resting_) return false;
    resting_ = true;
    thread = std::move(thread_);
    changed_.notify_all();
  }
  if (thread.joinable()) thread.join();
  leave_memory();
  MutexLock lock(mutex_);
  resting_ = false;
  if (!view_->frozen.empty()) {  // Frozen meanwhile.
    start_thread();
    return false;
  }
  for (const RunPtr& run : view_->runs)
    for (const Layer& layer : run->layers) layer.file->close();
  return true;
}

std::shared_ptr<const TimelineStore::View> TimelineStore::view() const {
  MutexLock lock(mutex_);
  return view_;
}

Manifest TimelineStore::manifest() const {
  MutexLock lock(mutex_);
  return manifest_now();
}

Manifest TimelineStore::manifest_now() const {
  Manifest manifest;
  manifest.tenant = tenant_;
  manifest.timeline = timeline_;
  manifest.major = major_;
  if (ancestor_) manifest.ancestor = ancestor_->timeline();
  manifest.ancestor_lsn = ancestor_lsn_;
  manifest.start_lsn = start_lsn_;
  manifest.disk_consistent_lsn = disk_consistent_lsn();
  manifest.next_id = next_id_;
  manifest.retain = view_->retain;
  manifest.layers = layers_of(view_->runs);
  return manifest;
}

std::optional<StoredTimeline> TimelineStore::stored() const {
  auto files = std::make_shared<std::vector<std::shared_ptr<LayerFile>>>();
  StoredTimeline out;
  MutexLock lock(mutex_);
  if (within_record_) return std::nullopt;
  for (const RunPtr& run : view_->runs) {
    for (const Layer& layer : run->layers) {
      out.layers.push_back(
          {layer.desc.id, layer.desc.bytes, layers_folder(folder_) / layer.desc.file_name()});
      files->push_back(layer.file);
    }
  }
  const Manifest manifest = manifest_now();
  out.ancestor = manifest.ancestor;
  out.ancestor_lsn = manifest.ancestor_lsn;
  out.disk_consistent_lsn = manifest.disk_consistent_lsn;
  out.manifest = manifest.encode();
  out.files = std::move(files);
  return out;
}

uint64_t TimelineStore::memory_bytes() const {
  auto view = this->view();
  uint64_t bytes = view->open ? view->open->bytes() : 0;
  for (const Frozen& frozen : view->frozen) bytes += frozen.layer->bytes();
  return bytes;
}

bool TimelineStore::walk_runs(const View& view, const Key& key, Lsn lsn, Lsn known,
                              const VisitVersion& visit) {
  for (const RunPtr& run : view.runs) {
    const Layer* layer = run->find(key);
    if (!layer || layer->desc.max_lsn <= known) continue;
    if (!layer->file->walk(key, lsn, visit)) return false;
  }
  return true;
}

// At or below the branch point there is nothing to read here, and so nothing that could be gone.
bool TimelineStore::has_own(const View& view, Lsn lsn) const {
  return view.retain.readable(lsn) || (ancestor_ && lsn <= ancestor_lsn_);
}

// On the view that is read: what is gone from it can be nobody's page.
void TimelineStore::require_own(const View& view, Lsn lsn) const {
  if (!has_own(view, lsn))
    throw Error(Errc::gone, "history before {} is no longer kept; {} is older",
                view.retain.horizon.str(), lsn.str());
}

bool TimelineStore::walk(const Key& key, Lsn lsn, Lsn known, const VisitVersion& visit,
                         Reads reads) const {
  for (const TimelineStore* store = this;;) {
    auto view = store->view();
    if (reads == Reads::retained) store->require_own(*view, lsn);
    if (view->open && !view->open->walk(key, lsn, visit)) return false;
    for (const Frozen& frozen : view->frozen)
      if (!frozen.layer->walk(key, lsn, visit)) return false;
    if (!walk_runs(*view, key, lsn, known, visit)) return false;
    if (!store->ancestor_ || known >= store->ancestor_lsn_) return true;
    lsn = std::min(lsn, store->ancestor_lsn_);
    store = store->ancestor_.get();
  }
}

bool TimelineStore::readable(Lsn lsn) const {
  if (!has_own(*view(), lsn)) return false;
  return !ancestor_ || ancestor_->readable(std::min(lsn, ancestor_lsn_));
}

Lsn TimelineStore::oldest_readable() const {
  const Lsn horizon = view()->retain.horizon;
  if (!ancestor_) return std::max(horizon, start_lsn_);
  if (horizon > ancestor_lsn_) return horizon;
  return std::min(ancestor_->oldest_readable(), ancestor_lsn_);
}

void TimelineStore::set_retain(RetainSet retain) {
  MutexLock lock(mutex_);
  const RetainSet& before = view_->retain;
  // Not beyond what is in files: a restart reads what is there before WAL comes again.
  retain.horizon = std::max(std::min(retain.horizon, disk_consistent_lsn()), before.horizon);
  std::sort(retain.points.begin(), retain.points.end());
  retain.points.erase(std::unique(retain.points.begin(), retain.points.end()), retain.points.end());
  std::erase_if(retain.points, [&](Lsn point) { return !before.readable(point); });
  if (retain.horizon > before.horizon && merger_) merger_->look();
  auto view = std::make_shared<View>(*view_);
  view->retain = std::move(retain);
  view_ = std::move(view);
  request_merge();
}

bool TimelineStore::has_history() const {
  MutexLock lock(mutex_);
  if (view_->has_memory() || merging_ || merge_wanted()) return true;
  return view_->runs.size() > 1 || (!view_->runs.empty() && view_->runs[0]->level != kBaseLevel);
}

TimelineStore::Sizes TimelineStore::sizes() const {
  Sizes sizes;
  auto view = this->view();
  sizes.runs = view->runs.size();
  for (const RunPtr& run : view->runs) {
    sizes.files += run->layers.size();
    sizes.own += run->bytes();
    sizes.history += run->superseded();
  }
  Lsn lsn = ancestor_lsn_;
  for (const TimelineStore* store = this; store->ancestor_; store = store->ancestor_.get()) {
    lsn = std::min(lsn, store->ancestor_lsn_);
    for (const RunPtr& run : store->ancestor_->view()->runs)
      for (const Layer& layer : run->layers)
        if (layer.desc.min_lsn <= lsn) sizes.shared += layer.desc.bytes;
  }
  return sizes;
}

Chain TimelineStore::collect_above(const Key& key, Lsn lsn, Lsn known) const {
  Chain chain;
  walk(key, lsn, known, [&](const EntryView& entry) {
    if (entry.lsn <= known) return false;
    chain.push_back(entry.value());
    return !is_base(entry.kind);
  });
  std::reverse(chain.begin(), chain.end());
  return chain;
}

Chain TimelineStore::collect(const Key& key, Lsn lsn) const {
  return collect_above(key, lsn, Lsn(0));
}

Chain TimelineStore::collect_any(const Key& key, Lsn lsn) const {
  Chain chain;
  auto take = [&](const EntryView& entry) {
    chain.push_back(entry.value());
    return !is_base(entry.kind);
  };
  walk(key, lsn, Lsn(0), take, Reads::any);
  std::reverse(chain.begin(), chain.end());
  return chain;
}

std::vector<std::pair<Key, Value>> TimelineStore::newest(const Key& first, const Key& last,
                                                         Lsn lsn) const {
  auto view = this->view();
  require_own(*view, lsn);
  std::vector<std::pair<Key, Value>> out;
  if (view->open) out = view->open->newest(first, last, lsn);
  for (const Frozen& frozen : view->frozen)
    merge_under(out, frozen.layer->newest(first, last, lsn));
  for (const RunPtr& run : view->runs) merge_under(out, run->newest(first, last, lsn));
  if (ancestor_) merge_under(out, ancestor_->newest(first, last, std::min(lsn, ancestor_lsn_)));
  return out;
}

void TimelineStore::scan(const Key& first, const Key& last, Lsn lsn,
                         const std::function<void(const Key&, const Value&)>& visit) const {
  for (const auto& [key, value] : newest(first, last, lsn))
    if (value.kind != ValueKind::tombstone) visit(key, value);
}

bool TimelineStore::arrived(Lsn lsn) const {
  if (lsn > last_record_lsn()) return false;
  return !ancestor_ || ancestor_->arrived(std::min(lsn, ancestor_lsn_));
}

void TimelineStore::wait_for_lsn(Lsn lsn, Deadline deadline) const {
  // The ancestor does not know when this one is closed, so that is looked for now and then.
  const Lsn shared = std::min(lsn, ancestor_lsn_);
  while (ancestor_ && !ancestor_->arrived(shared)) {
    if (waits_cancelled_) throw Error(Errc::cancelled, "the timeline is closing");
    const Deadline look = Deadline::after(std::min(kLookInterval, deadline.left()));
    try {
      ancestor_->wait_for_lsn(shared, look);
    } catch (const Error& error) {
      if (error.code() != Errc::timed_out || deadline.passed()) throw;
    }
  }
  if (wait_arrived(lsn, deadline)) return;
  if (waits_cancelled_) throw Error(Errc::cancelled, "the timeline is closing");
  throw Error(Errc::timed_out, "WAL up to {} has not arrived; storage has it up to {}", lsn.str(),
              last_record_lsn().str());
}

// False if the deadline passes or waits are cancelled before.
bool TimelineStore::wait_arrived(Lsn lsn, Deadline deadline) const {
  if (last_record_lsn() >= lsn) return true;
  waiters_++;
  MutexLock lock(mutex_);
  while (last_record_lsn() < lsn && !waits_cancelled_ && !deadline.passed())
    arrived_.wait_until(mutex_, steady_clock::now() + deadline.left());
  waiters_--;
  return last_record_lsn() >= lsn;
}

}  // namespace halogen::pageserver
