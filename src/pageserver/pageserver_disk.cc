// What a Pageserver keeps on disk: found again at the start, made by the import, removed.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "pageserver/ingest/template_import.h"
#include "pageserver/layers/trash.h"
#include "pageserver/page_builder.h"
#include "pageserver/pageserver.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::minutes kImportFlush{10};

// Each SLRU page and relation page that is really there. A skeleton may list tens of thousands of
// relations, of which a few are asked for, so they are found where they are.
class ExistingPages {
 public:
  explicit ExistingPages(const Skeleton& skeleton) : skeleton_(skeleton) {}

  bool contains(const PageKey& key) const {
    return key.tag.is_slru() ? contains_slru(key) : contains_relation(key);
  }

 private:
  bool contains_relation(const PageKey& key) const {
    const auto& all = skeleton_.relations;
    auto found = std::lower_bound(all.begin(), all.end(), key.tag,
                                  [](const RelSize& a, const RelTag& b) { return a.tag < b; });
    return found != all.end() && found->tag == key.tag && key.block < found->pages;
  }
  bool contains_slru(const PageKey& key) const {
    return std::any_of(skeleton_.slrus.begin(), skeleton_.slrus.end(),
                       [&](const SlruSegment& slru) {
                         return RelTag::slru(slru.slru) == key.tag &&
                                slru.segment == key.block / kSlruSegmentPages &&
                                key.block % kSlruSegmentPages < slru.pages;
                       });
  }

  const Skeleton& skeleton_;  // Whose relations are in the order of RelTag, as we made it.
};

}  // namespace

void Pageserver::load_templates() {
  fsync_folder(options_.home / "templates");  // A killed process may not have come to that.
  for (const auto& entry : fs::directory_iterator(options_.home / "templates")) {
    std::string name = entry.path().filename().string();
    int major = 0;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), major);
    if (error != std::errc() || *end != '\0') continue;  // Not ours: a temporary file.
    try {
      std::string text = read_file(entry.path());
      TimelineId id = TimelineId::parse(std::string_view(text).substr(0, text.find('\n')));
      MutexLock lock(mutex_);
      templates_[major] = id;
    } catch (const Error& error) {
      logger.error("{} cannot be read: {}", entry.path().string(), error.what());
    }
  }
}

void Pageserver::load_timelines() {
  std::map<TimelineId, Manifest> manifests;
  std::set<TimelineId> unfinished;
  bool all_read = true;
  for (const auto& entry : fs::directory_iterator(options_.home / "timelines")) {
    try {
      TimelineId id = TimelineId::parse(entry.path().filename().string());
      if (!fs::exists(entry.path() / kManifestFile)) {
        unfinished.insert(id);  // A crash while it was made or deleted.
        continue;
      }
      Manifest manifest = Manifest::load(entry.path());
      if (manifest.timeline != id) throw Error(Errc::corrupt, "the manifest is another timeline's");
      if (!manifest.ancestor && !is_template(id)) unfinished.insert(id);
      manifests[id] = std::move(manifest);
    } catch (const Error& error) {
      all_read = all_read && !fs::exists(entry.path() / kManifestFile);
      logger.error("{} cannot be opened and is left alone: {}", entry.path().string(),
                   error.what());
    }
  }
  keep_named(manifests, unfinished);
  for (TimelineId id : unfinished) {
    manifests.erase(id);
    // What cannot be read may name it.
    if (all_read) discard(id, "it was never finished, or is half deleted");
  }
  std::vector<TimelineId> ids;
  for (const auto& [id, manifest] : manifests) ids.push_back(id);
  for (TimelineId id : ids) {
    try {
      load_timeline(id, manifests);
    } catch (const Error& error) {
      logger.error("timeline {} cannot be opened and is left alone: {}", id.str(), error.what());
    }
  }
}

// What another manifest names was finished, whatever is missing now. A timeline without an ancestor
// that others branch from can only be a template whose file in `templates` is lost.
void Pageserver::keep_named(const std::map<TimelineId, Manifest>& manifests,
                            std::set<TimelineId>& unfinished) {
  for (const auto& [id, manifest] : manifests) {
    if (!manifest.ancestor || !unfinished.erase(*manifest.ancestor)) continue;
    auto named = manifests.find(*manifest.ancestor);
    if (named == manifests.end()) {
      logger.error("timeline {} has lost its manifest, but {} branches from it; it is left alone",
                   manifest.ancestor->str(), id.str());
      continue;
    }
    const int major = static_cast<int>(named->second.major);
    {
      MutexLock lock(mutex_);
      if (!templates_.emplace(major, named->first).second) continue;
    }
    write_file_durably(options_.home / "templates" / std::to_string(major),
                       named->first.str() + "\n");
    logger.warn(
        "timeline {} is the template for PostgreSQL {} again: the file that says so was lost",
        named->first.str(), major);
  }
}

void Pageserver::discard(TimelineId id, std::string_view why) {
  const fs::path to = move_to_trash(folder_of(id), options_.home / "trash");
  logger.warn("timeline {}: {}; moved to {} for {} days", id.str(), why, to.string(),
              kTrashDays.count());
}

// Ancestors first.
Pageserver::BranchPtr Pageserver::load_timeline(TimelineId id,
                                                std::map<TimelineId, Manifest>& manifests) {
  {
    MutexLock lock(mutex_);
    if (auto found = branches_.find(id); found != branches_.end()) return found->second;
  }
  auto manifest = manifests.extract(id);  // Taken out, so that a circle ends.
  if (!manifest) throw Error(Errc::corrupt, "its ancestor {} is not there", id.str());
  BranchPtr ancestor;
  if (manifest.mapped().ancestor) ancestor = load_timeline(*manifest.mapped().ancestor, manifests);
  BranchPtr branch = open_branch(folder_of(id), ancestor);
  MutexLock lock(mutex_);
  branches_[id] = branch;
  return branch;
}

std::shared_ptr<const TimelineStore::Options> Pageserver::make_store_options() const {
  auto store = std::make_shared<TimelineStore::Options>();
  store->freeze_bytes = options_.flush_bytes;
  store->merging.merge_files = options_.merge_files;
  store->layer_cache = layer_cache_;
  store->local_layers = local_layers_;
  store->memory = layer_memory_;
  store->reconstruct = reconstruct_with(redo_);
  if (options_.archive)
    store->committed = [archive = options_.archive](TimelineId id) { archive->pages_changed(id); };
  return store;
}

Pageserver::BranchPtr Pageserver::open_branch(const fs::path& folder, const BranchPtr& ancestor) {
  return std::make_shared<Branch>(
      std::make_shared<Timeline>(Timeline::Parts{redo_, page_cache_, jobs_}, store_options_, folder,
                                 ancestor ? ancestor->timeline : nullptr),
      options_.following);
}

std::vector<TimelineId> Pageserver::stored_timelines() {
  std::vector<TimelineId> ids;
  for (const auto& entry : fs::directory_iterator(options_.home / "timelines")) {
    try {
      ids.push_back(TimelineId::parse(entry.path().filename().string()));
    } catch (const Error&) {  // Not ours.
    }
  }
  return ids;
}

// Timelines have the same safekeeper, mostly.
std::shared_ptr<const WalSource> Pageserver::wal_source(const std::string& host, int port) {
  const WalSource source{host, port};
  MutexLock lock(mutex_);
  if (!last_wal_source_ || *last_wal_source_ != source)
    last_wal_source_ = std::make_shared<const WalSource>(source);
  return last_wal_source_;
}

void Pageserver::attach_known() {
  std::map<TimelineId, BranchPtr> branches;
  {
    MutexLock lock(mutex_);
    branches = branches_;
  }
  for (auto& [id, branch] : branches) {
    fs::path file = folder_of(id) / "wal_source";
    if (!fs::exists(file)) continue;
    std::string text = read_file(file);
    int port = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    std::string_view host(end, text.data() + text.size());
    if (error != std::errc() || host.size() < 3 || host.front() != '\n' || host.back() != '\n') {
      logger.error("{} is damaged: this timeline follows no WAL until it is attached again",
                   file.string());
      continue;
    }
    branch->follower.set_source(wal_source(std::string(host.substr(1, host.size() - 2)), port));
    if (branch->follower.is_behind()) wake(id, branch);
  }
}

// Its manifest first: from then on the timeline is not there, however far the rest gets.
void Pageserver::remove_folder(TimelineId id) {
  fs::path folder = folder_of(id);
  if (!fs::exists(folder)) return;
  if (fs::remove(folder / kManifestFile)) fsync_folder(folder);
  fs::remove_all(folder);
  fsync_folder(folder.parent_path());
}

// What could not be opened, or what a deletion that failed has left. Its branches cannot be open
// either, so it is their manifests that say whether there are any; if one of these is damaged, too,
// the trash still has what it may stand on.
void Pageserver::remove_unopened(TimelineId id) {
  if (!fs::exists(folder_of(id))) return;
  for (const auto& entry : fs::directory_iterator(options_.home / "timelines")) {
    if (entry.path() == folder_of(id) || !fs::exists(entry.path() / kManifestFile)) continue;
    bool names_it = false;
    try {
      names_it = Manifest::load(entry.path()).ancestor == id;
    } catch (const Error& error) {
      logger.info("{}", error.what());
    }
    if (names_it) throw Error(Errc::conflict, "timeline {} has branches", id.str());
  }
  discard(id, "it cannot be opened, and is deleted");
}

void Pageserver::import_template(int major, const fs::path& data_directory, Lsn lsn) {
  {
    MutexLock lock(mutex_);
    if (templates_.contains(major))
      throw Error(Errc::already_exists, "there is a template for PostgreSQL {}", major);
  }
  Manifest manifest;
  manifest.timeline = TimelineId::random();
  manifest.major = static_cast<uint32_t>(major);
  manifest.start_lsn = manifest.disk_consistent_lsn = lsn;
  BranchPtr branch = make_branch(manifest);
  try {
    TimelineStore& store = branch->timeline->store();
    import_data_directory(store, data_directory, lsn, major_layout(major));
    store.flush(Deadline::after(kImportFlush));
    write_file_durably(options_.home / "templates" / std::to_string(major),
                       manifest.timeline.str() + "\n");
  } catch (...) {
    delete_timeline(manifest.timeline);
    throw;
  }
  {
    MutexLock lock(mutex_);
    templates_[major] = manifest.timeline;
  }
  logger.info("the template for PostgreSQL {} is timeline {} at {}", major, manifest.timeline.str(),
              lsn.str());
}

// The pages that boots ask for first, as far as they still are there.
void Pageserver::add_hot_pages(Timeline& timeline, Skeleton& skeleton, Deadline deadline) {
  std::vector<PageKey> keys = timeline.hot_page_keys();
  if (keys.empty()) return;
  ExistingPages existing(skeleton);
  std::erase_if(keys, [&](const PageKey& key) { return !existing.contains(key); });
  std::vector<PagePtr> pages = timeline.share_pages(keys, skeleton.lsn, deadline);
  for (size_t i = 0; i < keys.size(); i++)
    if (pages[i])
      skeleton.hot_pages.push_back(
          {keys[i], std::shared_ptr<const std::string>(pages[i], &pages[i]->page)});
}

}  // namespace halogen::pageserver
