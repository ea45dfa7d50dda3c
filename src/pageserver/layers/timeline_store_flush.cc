// The store's own thread: frozen layers to files; and what it shares with merges: the manifest.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

metrics::Counter flushed_bytes =
    metrics::counter("halogen_pageserver_flushed_bytes_total", "Bytes of layer files flushed.");
metrics::Counter images_added = metrics::counter(
    "halogen_pageserver_images_total", "Page images added while flushing, to shorten chains.");

}  // namespace

void TimelineStore::start_thread() {
  if (!thread_.joinable() && !stopping_ && !resting_) thread_ = std::thread([this] { run(); });
}

void TimelineStore::run() {
  auto retry = options_->first_retry;
  while (run_once(retry)) {
  }
}

bool TimelineStore::run_once(std::chrono::milliseconds& retry) {
  {
    MutexLock lock(mutex_);
    working_ = false;
    while (!stopping_ && !resting_ && view_->frozen.empty()) changed_.wait(mutex_);
    if (stopping_ || resting_) return false;
    working_ = true;
  }
  try {
    flush_pending();
    if (failing_.exchange(false)) logger.info("{}: writing works again", folder_);
    retry = options_->first_retry;
  } catch (const Error& error) {
    if (stopping_) return false;
    report_failure(error);
    wait_before_retry(retry);
    retry = std::min(retry * 2, options_->last_retry);
  } catch (const std::exception& error) {  // Memory ran out: what is frozen stays where it is.
    report_failure(Error(Errc::unavailable, "{}", error.what()));
    wait_before_retry(retry);
  }
  return true;
}

// Once per outage: an operator needs one line, not one each second.
void TimelineStore::report_failure(const Error& error) {
  if (failing_.exchange(true)) return;
  logger.error(
      "cannot write layer files in {}: {}. Free some disk space: nothing is lost, writing is tried "
      "again every few seconds, and new data waits on the safekeeper meanwhile",
      folder_, error.what());
}

void TimelineStore::wait_before_retry(std::chrono::milliseconds delay) {
  auto until = steady_clock::now() + delay;
  MutexLock lock(mutex_);
  while (!stopping_ && steady_clock::now() < until) changed_.wait_until(mutex_, until);
}

void TimelineStore::flush_pending() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (view_->frozen.empty()) return;
    }
    if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
    flush_oldest();
  }
}

void TimelineStore::flush_oldest() {
  Frozen frozen;
  {
    MutexLock lock(mutex_);
    frozen = view_->frozen.back();
  }
  RunWriter writer({fs::path(folder_) / "layers", timeline_, options_->file_bytes,
                    [this] { return next_layer_id(); }});
  write_layer(frozen, writer);
  auto run = std::make_shared<Run>();
  for (LayerDesc desc : writer.finish()) {
    if (run->layers.empty()) run->id = desc.id;
    desc.run = run->id;
    flushed_bytes.add(static_cast<double>(desc.bytes));
    run->layers.push_back({desc, nullptr});
  }
  MutexLock committing(commit_mutex_);
  commit(
      [&](Runs& runs) {
        if (!run->layers.empty()) runs.insert(runs.begin(), run);
      },
      &frozen);
  writer.keep();
}

void TimelineStore::write_layer(const Frozen& frozen, RunWriter& writer) {
  size_t failures = 0;
  bool makes_images = true;
  std::string first_failure;
  for (const MemoryLayer::KeyVersions* key : frozen.layer->sorted()) {
    pause();
    for (const MemoryLayer::Version& version : key->second)
      writer.add({key->first, version.lsn, version.kind, Bytes(version.data, version.size)});
    std::string image;
    try {
      // What is on its way to the disk waits for nothing that only saves time.
      const LayerReads reads(LayerReads::Patience::local_only);
      if (makes_images && !waits_cancelled_) image = make_image(*key, frozen.end);
    } catch (const LayerNotHere&) {
    } catch (const Error& error) {
      if (failures++ == 0) first_failure = error.what();
      // Each would take as long: redo is away, or too slow. Images only save time.
      makes_images = error.code() != Errc::timed_out && error.code() != Errc::unavailable;
    }
    if (image.empty()) continue;
    writer.add({key->first, frozen.end, ValueKind::image, as_bytes(image)});
    images_added.add();
  }
  if (failures > 0)
    logger.warn("{}: pages keep long chains, as {} images could not be made{}: {}", folder_,
                failures, makes_images ? "" : " and others were not tried", first_failure);
}

// The page as it is at the end of the layer, if it ends a long chain; else nothing.
std::string TimelineStore::make_image(const MemoryLayer::KeyVersions& key, Lsn end) const {
  if (!options_->reconstruct || !key.first.is_page()) return "";
  if (key.second.back().lsn > end || !has_long_chain(key, end)) return "";
  return options_->reconstruct(tenant_, key.first.page_key(), collect_any(key.first, end));
}

bool TimelineStore::has_long_chain(const MemoryLayer::KeyVersions& key, Lsn end) const {
  const MemoryLayer::Versions& versions = key.second;
  size_t deltas = 0;
  auto count = [&](ValueKind kind) {
    return !is_base(kind) && ++deltas <= options_->image_after_deltas;
  };
  bool open_ended = true;
  for (auto at = versions.rbegin(); at != versions.rend() && open_ended; ++at)
    open_ended = count(at->kind);
  if (open_ended && deltas > 0) {  // The chain goes on below this layer.
    deltas = 0;
    walk(
        key.first, end, Lsn(0), [&](const EntryView& entry) { return count(entry.kind); },
        Reads::any);
  }
  return deltas > options_->image_after_deltas;
}

// The manifest is the commit point: what it names is there, what it does not is not.
// Files that end within a record are not committed before the record is.
void TimelineStore::commit(const std::function<void(Runs&)>& edit, const Frozen* flushed) {
  const bool within_record = flushed != nullptr && !flushed->whole;
  Manifest next;
  Runs runs;
  {
    MutexLock lock(mutex_);
    next = manifest_now();
    runs = view_->runs;
  }
  edit(runs);
  runs = with_files(std::move(runs));
  next.layers = layers_of(runs);
  if (flushed != nullptr && flushed->whole) next.disk_consistent_lsn = flushed->end;
  if (!within_record) next.save(folder_);
  take_over(std::move(runs), flushed);
  if (!within_record && options_->committed) options_->committed(timeline_);
}

// From now on this is what is read.
void TimelineStore::take_over(Runs runs, const Frozen* flushed) {
  std::set<uint64_t> named;
  for (const RunPtr& run : runs)
    for (const Layer& layer : run->layers) named.insert(layer.desc.id);
  MutexLock lock(mutex_);
  within_record_ = flushed != nullptr && !flushed->whole;
  for (const RunPtr& run : view_->runs)
    for (const Layer& layer : run->layers)
      if (!named.contains(layer.desc.id)) layer.file->mark_obsolete();
  count_layers(view_->runs, -1);
  count_layers(runs, 1);
  if (!merger_ && !runs.empty()) make_merger(view_->retain);
  auto view = std::make_shared<View>(*view_);
  view->runs = std::move(runs);
  if (flushed) {
    options_->memory->add_frozen(-static_cast<int64_t>(flushed->layer->bytes()));
    view->frozen.pop_back();
    if (flushed->whole) {
      disk_consistent_ = flushed->end.value;
      flushes_++;
    }
  }
  frozen_now_ = view->frozen.size();
  view_ = std::move(view);
  request_merge();
  changed_.notify_all();
}

// Runs that are new have layers that nobody has opened yet.
Runs TimelineStore::with_files(Runs runs) const {
  for (RunPtr& run : runs) {
    const bool opened = std::all_of(run->layers.begin(), run->layers.end(),
                                    [](const Layer& layer) { return layer.file != nullptr; });
    if (opened) continue;
    auto copy = std::make_shared<Run>(*run);
    for (Layer& layer : copy->layers)
      if (!layer.file) layer.file = layer_file(layer.desc);
    run = std::move(copy);
  }
  return runs;
}

uint64_t TimelineStore::next_layer_id() {
  MutexLock lock(mutex_);
  return next_id_++;
}

}  // namespace halogen::pageserver
