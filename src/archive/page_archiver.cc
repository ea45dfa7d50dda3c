#include "archive/page_archiver.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"
#include "base/log.h"

namespace halogen::archive {
namespace {

using objectstore::Content;

const log::Logger logger("archive");

constexpr std::chrono::seconds kLeaseCheck{1};

}  // namespace

void PageArchiver::found(TimelineId timeline, const ManifestKey& key) {
  MutexLock lock(mutex_);
  auto& manifests = state_of(timeline).manifests;
  manifests.push_back(key);
  std::sort(manifests.begin(), manifests.end(),
            [](const ManifestKey& a, const ManifestKey& b) { return a.generation < b.generation; });
}

void PageArchiver::found(TimelineId timeline, const LayerKey& key) {
  MutexLock lock(mutex_);
  state_of(timeline).layers.insert(key);
}

bool PageArchiver::has(TimelineId timeline) {
  MutexLock lock(mutex_);
  auto state = states_.find(timeline);
  return state != states_.end() && !state->second.manifests.empty();
}

Lsn PageArchiver::consistent(TimelineId timeline) {
  MutexLock lock(mutex_);
  auto state = states_.find(timeline);
  return state != states_.end() && state->second.now ? state->second.now->consistent : Lsn();
}

bool PageArchiver::is_ours(const State& state) const {
  return !state.manifests.empty() && parts_.lease.is_ours(state.manifests.back().generation);
}

std::optional<LayerCopy> PageArchiver::copy_of(const LayerName& name) {
  MutexLock lock(mutex_);
  auto state = states_.find(name.timeline);
  if (state == states_.end() || !state->second.now || !is_ours(state->second)) return std::nullopt;
  const auto& layers = state->second.now->layers;
  auto layer = layers.find(name.layer);
  return layer == layers.end() ? std::nullopt : std::optional(layer->second);
}

// Reads the manifest that is there, once.
void PageArchiver::learn(TimelineId timeline) {
  ManifestKey newest;
  {
    MutexLock lock(mutex_);
    State& state = state_of(timeline);
    if (state.known) return;
    if (state.manifests.empty()) {
      state.known = true;
      return;
    }
    newest = state.manifests.back();
  }
  std::optional<ArchivedManifest> manifest;
  try {
    manifest = ArchivedManifest::parse(as_bytes(parts_.store.get(key_of(timeline, newest), {})));
  } catch (const Error& error) {
    if (error.code() != Errc::corrupt && error.code() != Errc::not_found) throw;
    logger.warn("timeline {}: what {} has of it is damaged, and is copied anew: {}", timeline.str(),
                parts_.store.name(), error.what());
  }
  MutexLock lock(mutex_);
  State& state = state_of(timeline);
  state.now = std::move(manifest);
  state.known = true;
  if (state.now) condemn_unnamed(timeline);
}

// A branch that is being made has its WAL's place on the safekeeper after its pages.
void PageArchiver::upload_wal(TimelineId timeline) {
  try {
    parts_.wal.upload(timeline);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    throw Error(Errc::conflict, "timeline {}: its WAL is not there yet: {}", timeline.str(),
                error.what());
  }
}

// What is behind it must be there: else what is read back would begin in the air. WAL that is not
// is fetched along: where layers come quickly, it would be behind each time.
void PageArchiver::require_foundation(TimelineId timeline, const StoredTimeline& stored) {
  if (!stored.ancestor) return;  // A template has no WAL.
  auto is_behind = [&] {
    return parts_.wal.end(timeline).value_or(Lsn()) < stored.disk_consistent_lsn;
  };
  if (is_behind()) upload_wal(timeline);
  if (is_behind())
    throw Error(Errc::conflict, "timeline {}: its WAL is not in the store yet", timeline.str());
  const TimelineId ancestor = *stored.ancestor;
  if (has(ancestor)) learn(ancestor);
  const Lsn there = std::max(parts_.wal.end(ancestor).value_or(Lsn()), consistent(ancestor));
  if (!has(ancestor) || there < stored.ancestor_lsn)
    throw Error(Errc::conflict, "timeline {}: its ancestor is not in the store yet",
                timeline.str());
}

// A file that is not on the disk any more is in the store, though its manifest there is damaged.
ArchivedLayer PageArchiver::archive_layer(TimelineId timeline, const StoredTimeline::Layer& layer) {
  try {
    return put_layer(timeline, layer);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    const std::optional<LayerCopy> noted = read_layer_note(layer.file, {timeline, layer.id});
    MutexLock lock(mutex_);
    if (!noted || !state_of(timeline).layers.contains({layer.id, noted->generation})) throw;
    return *noted;
  }
}

ArchivedLayer PageArchiver::put_layer(TimelineId timeline, const StoredTimeline::Layer& layer) {
  const Content content = Content::of_file(layer.file);
  ArchivedLayer archived{.generation = parts_.lease.generation(), .bytes = content.size()};
  bool first = true;
  content.each_piece([&](Bytes piece) {
    archived.crc = std::exchange(first, false) ? crc32c(piece) : crc32c_extend(archived.crc, piece);
  });
  const LayerKey key{layer.id, archived.generation};
  parts_.store.put(key_of(timeline, key), content);
  MutexLock lock(mutex_);
  State& state = state_of(timeline);
  state.layers.insert(key);
  state.put[layer.id] = archived;
  condemned_.erase(key_of(timeline, key));
  return archived;
}

// Who was left behind puts nothing for long; what it does put nobody reads.
void PageArchiver::check_lease() {
  if (steady_clock::now() < next_check_) return;
  parts_.lease.check(parts_.store);
  next_check_ = steady_clock::now() + kLeaseCheck;
}

void PageArchiver::upload(TimelineId timeline) {
  const std::optional<StoredTimeline> stored = parts_.source.stored(timeline);
  if (!stored) throw Error(Errc::conflict, "timeline {} is being written", timeline.str());
  learn(timeline);
  std::map<uint64_t, ArchivedLayer> there;
  {
    MutexLock lock(mutex_);
    State& state = state_of(timeline);
    // Another home's is put again: it may not know yet that it was left behind, and overwrite it.
    if (is_ours(state) && state.now && state.now->manifest == stored->manifest) return;
    if (state.now) there = state.now->layers;
    there.insert(state.put.begin(), state.put.end());
  }
  check_lease();
  ArchivedManifest next{.timeline = timeline,
                        .ancestor = stored->ancestor,
                        .ancestor_lsn = stored->ancestor_lsn,
                        .consistent = stored->disk_consistent_lsn,
                        .manifest = stored->manifest};
  uint64_t to_go = 0;
  for (const StoredTimeline::Layer& layer : stored->layers)
    if (!there.contains(layer.id)) to_go += layer.bytes;
  bytes_to_go_ = to_go;
  for (const StoredTimeline::Layer& layer : stored->layers) {
    auto found = there.find(layer.id);
    const bool is_there = found != there.end() && found->second.bytes == layer.bytes;
    next.layers[layer.id] = is_there ? found->second : archive_layer(timeline, layer);
    if (!is_there) bytes_to_go_ -= std::min<uint64_t>(bytes_to_go_, layer.bytes);
  }
  require_foundation(timeline, *stored);
  put_manifest(timeline, std::move(next));
}

// The commit point.
void PageArchiver::put_manifest(TimelineId timeline, ArchivedManifest manifest) {
  const ManifestKey key{parts_.lease.generation()};
  parts_.store.put(key_of(timeline, key), Content::of(manifest.encode()));
  MutexLock lock(mutex_);
  State& state = state_of(timeline);
  for (const ManifestKey& older : state.manifests)
    if (older.generation != key.generation) condemn(key_of(timeline, older));
  state.manifests = {key};
  state.now = std::move(manifest);
  state.put.clear();
  condemn_unnamed(timeline);
}

void PageArchiver::condemn(const std::string& key) {
  condemned_.emplace(key, steady_clock::now() + parts_.grace);
}

void PageArchiver::condemn_unnamed(TimelineId timeline) {
  State& state = state_of(timeline);
  std::erase_if(state.layers, [&](const LayerKey& key) REQUIRES(mutex_) {
    auto named = state.now->layers.find(key.id);
    if (named != state.now->layers.end() && named->second.generation == key.generation)
      return false;
    if (auto put = state.put.find(key.id);
        put != state.put.end() && put->second.generation == key.generation)
      return false;
    condemn(key_of(timeline, key));
    return true;
  });
}

void PageArchiver::sweep(const std::set<TimelineId>& wanted) {
  std::set<TimelineId> all, kept;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, state] : states_)
      if (!state.manifests.empty()) all.insert(id);
  }
  // Nothing goes before it is known what stands on what.
  for (TimelineId id : all) learn(id);
  MutexLock lock(mutex_);
  for (TimelineId id : wanted)
    while (kept.insert(id).second && states_.contains(id) && states_[id].now &&
           states_[id].now->ancestor)
      id = *states_[id].now->ancestor;
  for (TimelineId id : all) {
    if (kept.contains(id)) continue;
    const State& state = states_[id];
    logger.info("timeline {} is no branch's any more: it leaves the object store", id.str());
    // The manifest first: from then on the rest is nothing.
    for (const ManifestKey& key : state.manifests) condemn(key_of(id, key));
    for (const LayerKey& key : state.layers) condemn(key_of(id, key));
    for (const std::string& key : parts_.wal.forget(id)) condemn(key);
    states_.erase(id);
  }
}

void PageArchiver::remove_due() {
  std::vector<std::string> due;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, at] : condemned_)
      if (at <= steady_clock::now()) due.push_back(key);
  }
  if (due.empty()) return;
  parts_.lease.check(parts_.store);
  for (const std::string& key : due) {
    parts_.store.remove(key);
    MutexLock lock(mutex_);
    condemned_.erase(key);
  }
}

}  // namespace halogen::archive
