// The store's own thread: frozen layers to files, many small files to one.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "pageserver/layers/timeline_store.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

metrics::Counter& flushed_bytes() {
  static metrics::Counter counter =
      metrics::counter("halogen_pageserver_flushed_bytes_total", "Bytes of layer files flushed.");
  return counter;
}
metrics::Counter& merged_bytes() {
  static metrics::Counter counter = metrics::counter("halogen_pageserver_merged_bytes_total",
                                                     "Bytes of layer files made by merging.");
  return counter;
}
metrics::Counter& images_added() {
  static metrics::Counter counter = metrics::counter(
      "halogen_pageserver_images_total", "Page images added while flushing, to shorten chains.");
  return counter;
}

}  // namespace

void TimelineStore::start_thread() {
  if (!thread_.joinable() && !stopping_ && !resting_) thread_ = std::thread([this] { run(); });
}

void TimelineStore::run() {
  auto retry = options_.first_retry;
  while (run_once(retry)) {
  }
}

bool TimelineStore::run_once(std::chrono::milliseconds& retry) {
  {
    MutexLock lock(mutex_);
    working_ = false;
    while (!stopping_ && !resting_ && view_->frozen.empty() && merge_candidates().empty())
      changed_.wait(mutex_);
    if (stopping_ || resting_) return false;
    working_ = true;
  }
  try {
    flush_pending();
    merge_pending();
    if (failing_.exchange(false)) logger.info("{}: writing works again", folder_.string());
    retry = options_.first_retry;
  } catch (const Error& error) {
    if (stopping_) return false;
    report_failure(error);
    wait_before_retry(retry);
    retry = std::min(retry * 2, options_.last_retry);
  } catch (const std::exception& error) {  // Memory ran out: what is frozen stays where it is.
    report_failure(Error(Errc::unavailable, "{}", error.what()));
    wait_before_retry(retry);
  }
  return true;
}

// Once per outage: an operator needs one line, not one each second.
void TimelineStore::report_failure(const Error& error) {
  if (error.code() == Errc::corrupt) {
    // Only merging reads files; it would fail again and again. Reads of that part fail too.
    MutexLock lock(mutex_);
    merging_off_ = true;
    logger.error("merging layer files stops until the restart: {}", error.what());
    return;
  }
  if (failing_.exchange(true)) return;
  logger.error(
      "cannot write layer files in {}: {}. Free some disk space: nothing is lost, writing is tried "
      "again every few seconds, and new data waits on the safekeeper meanwhile",
      folder_.string(), error.what());
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
  Manifest next;
  {
    MutexLock lock(mutex_);
    frozen = view_->frozen.back();
    next = manifest_;
  }
  if (auto desc = write_layer(frozen, next.next_id)) {
    next.next_id++;
    next.layers.insert(next.layers.begin(), *desc);
    flushed_bytes().add(static_cast<double>(desc->bytes));
  }
  if (frozen.whole) next.disk_consistent_lsn = frozen.end;
  commit(next, &frozen);
}

std::optional<LayerDesc> TimelineStore::write_layer(const Frozen& frozen, uint64_t id) {
  if (frozen.layer->empty()) return std::nullopt;
  LayerDesc desc;
  desc.id = id;
  LayerWriter writer(folder_ / "layers" / desc.file_name(), layer_identity(timeline_, id));
  size_t failures = 0;
  bool makes_images = true;
  std::string first_failure;
  for (const MemoryLayer::KeyVersions* key : frozen.layer->sorted()) {
    if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
    for (const MemoryLayer::Version& version : key->second)
      writer.add({key->first, version.lsn, version.kind, Bytes(version.data, version.size)});
    std::string image;
    try {
      if (makes_images && !waits_cancelled_) image = make_image(*key, frozen.end);
    } catch (const Error& error) {
      if (failures++ == 0) first_failure = error.what();
      // Each would take as long: redo is away, or too slow. Images only save time.
      makes_images = error.code() != Errc::timed_out && error.code() != Errc::unavailable;
    }
    if (image.empty()) continue;
    writer.add({key->first, frozen.end, ValueKind::image, as_bytes(image)});
    images_added().add();
  }
  if (failures > 0)
    logger.warn("{}: pages keep long chains, as {} images could not be made{}: {}",
                folder_.string(), failures, makes_images ? "" : " and others were not tried",
                first_failure);
  LayerDesc written = writer.finish();
  written.id = id;
  return written;
}

// The page as it is at the end of the layer, if it ends a long chain; else nothing.
std::string TimelineStore::make_image(const MemoryLayer::KeyVersions& key, Lsn end) const {
  if (!options_.reconstruct || !key.first.is_page()) return "";
  if (key.second.back().lsn > end || !has_long_chain(key, end)) return "";
  return options_.reconstruct(key.first.page_key(), collect(key.first, end));
}

bool TimelineStore::has_long_chain(const MemoryLayer::KeyVersions& key, Lsn end) const {
  const MemoryLayer::Versions& versions = key.second;
  size_t deltas = 0;
  auto count = [&](ValueKind kind) {
    return !is_base(kind) && ++deltas <= options_.image_after_deltas;
  };
  bool open_ended = true;
  for (auto at = versions.rbegin(); at != versions.rend() && open_ended; ++at)
    open_ended = count(at->kind);
  if (open_ended && deltas > 0) {  // The chain goes on below this layer.
    deltas = 0;
    walk(key.first, end, Lsn(0), [&](const EntryView& entry) { return count(entry.kind); });
  }
  return deltas > options_.image_after_deltas;
}

// The manifest is the commit point: what it names is there, what it does not is not.
// Files that end within a record are not committed before the record is.
void TimelineStore::commit(const Manifest& next, const Frozen* flushed) {
  const bool within_record = flushed != nullptr && !flushed->whole;
  if (!within_record) next.save(folder_);
  MutexLock lock(mutex_);
  within_record_ = within_record;
  std::map<uint64_t, std::shared_ptr<LayerFile>> known;
  for (const auto& file : view_->files) known[file->desc().id] = file;
  auto view = std::make_shared<View>(*view_);
  view->files.clear();
  for (const LayerDesc& desc : next.layers) {
    if (auto found = known.extract(desc.id)) {
      view->files.push_back(found.mapped());
    } else {
      view->files.push_back(layer_file(desc));
    }
  }
  for (auto& [id, file] : known) file->mark_obsolete();
  if (flushed) {
    options_.memory->add_frozen(-static_cast<int64_t>(flushed->layer->bytes()));
    view->frozen.pop_back();
    if (flushed->whole) flushes_++;
  }
  frozen_now_ = view->frozen.size();
  view_ = std::move(view);
  count_layers(manifest_, -1);
  count_layers(next, 1);
  manifest_ = next;
  disk_consistent_ = next.disk_consistent_lsn.value;
  changed_.notify_all();
}

// All files of the lowest level that has enough of them: neighbours in age, so that one file can
// stand in their place.
std::vector<std::shared_ptr<LayerFile>> TimelineStore::merge_candidates() const {
  if (merging_off_ || within_record_) return {};
  std::map<uint8_t, std::vector<std::shared_ptr<LayerFile>>> levels;
  for (const auto& file : view_->files) levels[file->desc().level].push_back(file);
  for (auto& [level, files] : levels) {
    uint64_t bytes = 0;
    for (const auto& file : files) bytes += file->desc().bytes;
    if (files.size() >= options_.merge_files && bytes <= options_.max_merge_bytes && level < 255)
      return files;
  }
  return {};
}

void TimelineStore::merge_pending() {
  for (;;) {
    std::vector<std::shared_ptr<LayerFile>> files;
    uint64_t id;
    {
      MutexLock lock(mutex_);
      files = merge_candidates();
      if (files.empty()) return;
      id = manifest_.next_id++;  // Flushes go on meanwhile and must not take it.
    }
    LayerDesc merged = merge(files, id);
    merged_bytes().add(static_cast<double>(merged.bytes));
    Manifest next;
    {
      MutexLock lock(mutex_);
      next = manifest_;
      if (within_record_) {  // Not to be committed now; the merge is done again later.
        fs::remove(folder_ / "layers" / merged.file_name());
        return;
      }
    }
    auto is_merged = [&](const LayerDesc& desc) {
      return std::any_of(files.begin(), files.end(),
                         [&](const auto& file) { return file->desc().id == desc.id; });
    };
    auto place = std::find_if(next.layers.begin(), next.layers.end(), is_merged);
    CHECK(place != next.layers.end());
    *place = merged;
    std::erase_if(next.layers, is_merged);
    commit(next, nullptr);
    logger.debug("{}: {} layer files became {}", folder_.string(), files.size(),
                 merged.file_name());
  }
}

LayerDesc TimelineStore::merge(const std::vector<std::shared_ptr<LayerFile>>& files, uint64_t id) {
  // Oldest first: of versions at one LSN, the older file's come first.
  std::vector<std::unique_ptr<LayerFile::Cursor>> cursors;
  for (auto file = files.rbegin(); file != files.rend(); ++file)
    cursors.push_back(std::make_unique<LayerFile::Cursor>(*file));
  LayerDesc desc;
  desc.id = id;
  LayerWriter writer(folder_ / "layers" / desc.file_name(), layer_identity(timeline_, id));
  for (uint64_t written = 0;; written++) {
    LayerFile::Cursor* least = nullptr;
    for (auto& cursor : cursors) {
      const EntryView* entry = cursor->entry();
      if (!entry) continue;
      if (!least ||
          std::pair(entry->key, entry->lsn) < std::pair(least->entry()->key, least->entry()->lsn))
        least = cursor.get();
    }
    if (!least) break;
    writer.add(*least->entry());
    least->next();
    // New data goes first: a merge may take long.
    if (written % 4096 == 0 && frozen_now_ > 0) flush_pending();
    if (stopping_) throw Error(Errc::cancelled, "the timeline is closing");
  }
  LayerDesc merged = writer.finish();
  merged.id = id;
  merged.level = static_cast<uint8_t>(files.front()->desc().level + 1);
  return merged;
}

}  // namespace halogen::pageserver
