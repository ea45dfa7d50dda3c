#include "pageserver/pageserver.h"

#include <malloc.h>

#include "base/error.h"
#include "base/log.h"
#include "pageserver/commit_index.h"
#include "pageserver/layers/trash.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr std::chrono::seconds kReceiverStop{2};
constexpr int64_t kPostgresEpoch = 946'684'800'000'000;  // 2000-01-01, in microseconds since 1970.
constexpr std::chrono::milliseconds kMostRounds{1000};   // Between two looks at who may rest.

// A compute that went on from there would write another history over the one that is here.
void refuse_older_log(const Timeline& timeline, Lsn log_end) {
  const Lsn here = timeline.store().last_record_lsn();
  if (here <= log_end) return;
  throw Error(
      Errc::corrupt,
      "timeline {}: its WAL ends at {}, but the pageserver has read it up to {}. Either the "
      "safekeeper has lost WAL, or one of their folders was restored without the other: put "
      "both back from one copy",
      timeline.id().str(), log_end.str(), here.str());
}

void require_history(const Timeline& timeline, Lsn lsn) {
  if (lsn < timeline.oldest_lsn())
    throw Error(Errc::gone, "history begins at {}; {} is older", timeline.oldest_lsn().str(),
                lsn.str());
}

Moment moment_of(const Timeline& timeline, const std::optional<CommitEntry>& commit) {
  if (!commit) return {timeline.oldest_lsn(), std::nullopt};
  // The last commit before the horizon is what is there at the horizon, until the next.
  return {std::max(commit->lsn, timeline.oldest_lsn()), commit->time + kPostgresEpoch};
}

std::vector<metrics::Family> memory_families(const Pageserver::Memory& memory) {
  metrics::Family family{.kind = metrics::Family::Kind::gauge,
                         .name = "halogen_pageserver_memory_bytes",
                         .help = "Memory that is within the budget of --memory, by its use."};
  for (const auto& [part, bytes] : {std::pair{"pages", memory.pages},
                                    {"blocks", memory.blocks},
                                    {"indexes", memory.indexes},
                                    {"layers", memory.layers}})
    family.series.push_back({.labels = {{"part", part}}, .value = static_cast<double>(bytes)});
  return {family};
}

}  // namespace

// Keeps a timeline id, and the ancestor, to itself while files are made or removed.
class Pageserver::Reservation {
 public:
  Reservation(Pageserver& owner, TimelineId id) : owner_(owner), id_(id) {}
  ~Reservation() {
    MutexLock lock(owner_.mutex_);
    owner_.reserved_.erase(id_);
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

 private:
  Pageserver& owner_;
  const TimelineId id_;
};

Pageserver::Pageserver(Options options, Redo& redo)
    : options_(std::move(options)),
      redo_(redo),
      layer_cache_(
          std::make_shared<LayerCache>(options_.block_cache_bytes, options_.index_cache_bytes)),
      layer_memory_(std::make_shared<LayerMemory>(options_.layer_memory_bytes)),
      page_cache_(options_.page_cache_bytes),
      jobs_(options_.reader_threads),
      metrics_([this] { return memory_families(memory()); }) {
  if (options_.origin)
    local_layers_ = std::make_shared<LocalLayers>(
        LocalLayers::Options{.limit = options_.local_layer_bytes}, *options_.origin);
  store_options_ = make_store_options();
  fs::create_directories(options_.home / "timelines");
  fs::create_directories(options_.home / "templates");
  fsync_folder(options_.home);
  load_templates();
  load_timelines();
  empty_trash(options_.home / "trash");
  PageService::Options service{.socket = options_.page_socket, .limits = options_.page_limits};
  if (!options_.asks_for_token)
    service.unguarded = [this](TimelineId id) { return find(id)->timeline; };
  page_service_ = std::make_unique<PageService>(std::move(service));
  attach_known();
  housekeeper_ = std::thread([this] { keep_house(); });
  historian_ = std::thread([this] { keep_history_bounded(); });
}

Pageserver::~Pageserver() { stop(); }

void Pageserver::stop() {
  if (std::exchange(stopped_, true)) return;
  std::map<TimelineId, BranchPtr> branches;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    woken_.notify_all();
    branches = branches_;
  }
  if (housekeeper_.joinable()) housekeeper_.join();
  if (historian_.joinable()) historian_.join();
  if (local_layers_) local_layers_->stop();
  Deadline deadline = Deadline::after(options_.stop_time);
  for (auto& [id, branch] : branches) {
    branch->follower.request_stop();
    branch->timeline->store().cancel_waits();
  }
  if (page_service_) page_service_->stop();
  const Deadline receivers = Deadline::after(kReceiverStop);  // Of all of them together.
  for (auto& [id, branch] : branches) branch->follower.wait_ended(receivers);
  // All begin to write before the first is waited for.
  for (auto& [id, branch] : branches)
    branch->timeline->store().freeze_older_than(steady_clock::duration(0));
  for (auto& [id, branch] : branches) {
    try {
      branch->timeline->store().flush(deadline);
    } catch (const Error& error) {
      logger.info("timeline {}: the last WAL will be asked for again: {}", id.str(), error.what());
    }
  }
  for (auto& [id, branch] : branches) {
    branch->timeline->store().stop();
    branch->follower.stop();
  }
}

void Pageserver::wake(TimelineId id, const BranchPtr& branch) {
  if (!branch->follower.wake()) return;
  MutexLock lock(mutex_);
  auto found = branches_.find(id);
  if (found == branches_.end() || found->second != branch) return;  // It is being deleted.
  awake_[id] = branch;
  woken_.notify_all();
}

void Pageserver::wake_for(TimelineId id, BranchPtr branch, Lsn lsn) {
  while (!branch->timeline->store().arrived(lsn)) {
    if (lsn > branch->timeline->store().last_record_lsn()) wake(id, branch);
    if (!branch->timeline->ancestor()) return;
    lsn = std::min(lsn, branch->timeline->store().ancestor_lsn());
    id = branch->timeline->ancestor()->id();
    branch = find(id);
  }
}

void Pageserver::keep_house() {
  const auto round = std::min(kMostRounds, options_.following.rest_after);
  for (;;) {
    std::map<TimelineId, BranchPtr> awake;
    {
      MutexLock lock(mutex_);
      redo_.expect_work(!awake_.empty());
      while (awake_.empty() && !stopping_) woken_.wait(mutex_);
      redo_.expect_work(true);
      const auto until = steady_clock::now() + round;
      while (!stopping_ && steady_clock::now() < until) woken_.wait_until(mutex_, until);
      if (stopping_) return;
      awake = awake_;
    }
    bool rested = false, all_rest = false;
    for (const auto& [id, branch] : awake) {
      if (!branch->follower.rest_if_idle([&] { return page_service_->sessions(id) > 0; })) continue;
      rested = true;
      MutexLock lock(mutex_);
      if (!branch->follower.awake()) awake_.erase(id);  // Else it was woken since.
      all_rest = awake_.empty();
    }
    // Rebuilt pages stay for the next wake.
    if (all_rest) layer_cache_->blocks.clear();
    if (rested) ::malloc_trim(0);  // What it had was all over the heap.
  }
}

Pageserver::Counts Pageserver::counts() const {
  MutexLock lock(mutex_);
  return {branches_.size(), awake_.size()};
}

Pageserver::Memory Pageserver::memory() const {
  return {page_cache_.bytes(), layer_cache_->blocks.bytes(), layer_cache_->opened.bytes(),
          static_cast<uint64_t>(std::max<int64_t>(layer_memory_->bytes(), 0))};
}

std::optional<LocalLayers::Status> Pageserver::local_layers() const {
  if (!local_layers_) return std::nullopt;
  return local_layers_->status();
}

void Pageserver::drop_layers(uint64_t bytes) {
  if (local_layers_) local_layers_->drop(bytes);
}

Pageserver::BranchPtr Pageserver::find(TimelineId id) const {
  MutexLock lock(mutex_);
  auto found = branches_.find(id);
  if (found == branches_.end()) throw Error(Errc::not_found, "there is no timeline {}", id.str());
  return found->second;
}

bool Pageserver::is_template(TimelineId id) const {
  MutexLock lock(mutex_);
  for (const auto& [major, template_id] : templates_)
    if (template_id == id) return true;
  return false;
}

bool Pageserver::has_children(TimelineId id) const {
  for (const auto& [other, branch] : branches_)
    if (branch->timeline->ancestor() && branch->timeline->ancestor()->id() == id) return true;
  for (const auto& [other, reserved] : reserved_)
    if (reserved.ancestor == id) return true;
  return false;
}

void Pageserver::create_timeline(TenantId tenant, TimelineId id, TimelineId ancestor, Lsn lsn,
                                 Deadline deadline) {
  BranchPtr parent = find(ancestor);
  if (parent->timeline->tenant() != tenant && !is_template(ancestor))
    throw Error(Errc::permission_denied, "timeline {} belongs to another project", ancestor.str());
  require_history(*parent->timeline, lsn);
  // Below the parent's own branch point its history is that of its ancestor.
  while (lsn < parent->timeline->store().ancestor_lsn())
    parent = find(parent->timeline->ancestor()->id());
  wake_for(parent->timeline->id(), parent, lsn);
  parent->timeline->store().wait_for_lsn(lsn, deadline);
  Manifest manifest;
  manifest.tenant = tenant;
  manifest.timeline = id;
  manifest.major = static_cast<uint32_t>(parent->timeline->major());
  manifest.ancestor = parent->timeline->id();
  manifest.ancestor_lsn = manifest.start_lsn = manifest.disk_consistent_lsn = lsn;
  BranchPtr made = make_branch(manifest);
  logger.info("timeline {} branches from {} at {}", id.str(), manifest.ancestor->str(), lsn.str());
}

Pageserver::BranchPtr Pageserver::make_branch(const Manifest& manifest) {
  BranchPtr parent;
  {
    MutexLock lock(mutex_);
    if (auto found = branches_.find(manifest.timeline); found != branches_.end()) {
      const Manifest there = found->second->timeline->store().manifest();
      if (there.tenant == manifest.tenant && there.ancestor == manifest.ancestor &&
          there.ancestor_lsn == manifest.ancestor_lsn)
        return found->second;
    }
    if (branches_.contains(manifest.timeline) || reserved_.contains(manifest.timeline))
      throw Error(Errc::already_exists, "timeline {} exists", manifest.timeline.str());
    if (manifest.ancestor) {
      auto found = branches_.find(*manifest.ancestor);
      if (found == branches_.end())
        throw Error(Errc::not_found, "timeline {} has been deleted", manifest.ancestor->str());
      parent = found->second;
      // Once it is reserved, the ancestor's history stays for it; until now it may have gone.
      require_history(*parent->timeline, manifest.ancestor_lsn);
    }
    reserved_[manifest.timeline] = {manifest.ancestor, manifest.ancestor_lsn};
  }
  Reservation reservation(*this, manifest.timeline);
  BranchPtr branch;
  try {
    TimelineStore::create(folder_of(manifest.timeline), manifest);
    branch = open_branch(folder_of(manifest.timeline), parent);
  } catch (...) {
    remove_folder(manifest.timeline);
    throw;
  }
  {
    MutexLock lock(mutex_);
    branches_[manifest.timeline] = branch;
  }
  // Not before it can be asked for: at rest, nothing would tell of it again.
  if (options_.archive) options_.archive->pages_changed(manifest.timeline);
  return branch;
}

Moment Pageserver::moment_at(TimelineId id, Lsn lsn) {
  BranchPtr branch = find(id);
  const TimelineStore& store = branch->timeline->store();
  if (lsn > store.last_record_lsn())
    throw Error(Errc::invalid_argument, "{} is beyond the end of history, {}", lsn.str(),
                store.last_record_lsn().str());
  require_history(*branch->timeline, lsn);
  return moment_of(*branch->timeline, last_commit(store, lsn));
}

Moment Pageserver::earliest_moment(TimelineId id) {
  const Timeline& timeline = *find(id)->timeline;
  return moment_of(timeline, last_commit(timeline.store(), timeline.oldest_lsn()));
}

Moment Pageserver::moment_at_time(TimelineId id, int64_t time) {
  BranchPtr branch = find(id);
  const TimelineStore& store = branch->timeline->store();
  const Lsn oldest = branch->timeline->oldest_lsn();
  const auto commit = last_commit_by(store, time - kPostgresEpoch, store.last_record_lsn(), oldest);
  if (!commit && last_commit(store, oldest))
    throw Error(Errc::gone, "history begins at {}, with a later commit than that", oldest.str());
  return moment_of(*branch->timeline, commit);
}

void Pageserver::delete_timeline(TimelineId id) {
  if (is_template(id)) throw Error(Errc::conflict, "timeline {} is a template", id.str());
  BranchPtr branch;
  {
    MutexLock lock(mutex_);
    if (reserved_.contains(id))
      throw Error(Errc::conflict, "timeline {} is being made or deleted", id.str());
    if (has_children(id)) throw Error(Errc::conflict, "timeline {} has branches", id.str());
    if (auto found = branches_.find(id); found != branches_.end()) {
      if (page_service_->sessions(id) > 0)
        throw Error(Errc::conflict, "timeline {} is being read by a compute", id.str());
      branch = std::move(found->second);
      branches_.erase(found);
      awake_.erase(id);
    }
    reserved_[id] = {};
  }
  Reservation reservation(*this, id);
  if (!branch) return remove_unopened(id);
  branch->follower.request_stop();
  branch->timeline->store().stop();
  branch->follower.stop();
  if (local_layers_) local_layers_->close_timeline(id);
  remove_folder(id);
  logger.info("timeline {} is deleted", id.str());
}

void Pageserver::attach_wal(TimelineId id, const std::string& host, int port) {
  BranchPtr branch = find(id);
  const auto source = wal_source(host, port);
  if (!branch->follower.has_source(*source)) {
    write_file_durably(folder_of(id) / "wal_source", fmt::format("{}\n{}\n", port, host));
    branch->follower.set_source(source);
  }
  if (branch->follower.is_behind()) wake(id, branch);
}

void Pageserver::wait_for_lsn(TimelineId id, Lsn lsn, Deadline deadline) {
  BranchPtr branch = find(id);
  wake_for(id, branch, lsn);
  branch->timeline->store().wait_for_lsn(lsn, deadline);
}

PageToken Pageserver::open_session(TimelineId id, uint64_t term, Lsn lsn) {
  BranchPtr branch;
  PageToken token;
  {
    MutexLock lock(mutex_);  // So that no session opens while the timeline is being deleted.
    auto found = branches_.find(id);
    if (found == branches_.end()) throw Error(Errc::not_found, "there is no timeline {}", id.str());
    branch = found->second;
    refuse_older_log(*branch->timeline, lsn);
    if (!branch->timeline->store().readable(lsn)) require_history(*branch->timeline, lsn);
    token = page_service_->open_session(branch->timeline, term, lsn);
  }
  logger.debug("timeline {}: read by the compute of term {} from {} on", id.str(), term, lsn.str());
  // After the session is there: see Follower::rest_if_idle.
  wake(id, branch);
  wake_for(id, branch, lsn);
  return token;
}

Lsn Pageserver::advance_session(const PageToken& token) {
  MutexLock lock(mutex_);  // So that no horizon passes where it will read.
  return page_service_->advance_session(token);
}

void Pageserver::close_session(const PageToken& token) { page_service_->close_session(token); }

void Pageserver::put_file(TimelineId id, Lsn lsn, const std::string& path, std::string content) {
  BranchPtr branch = find(id);
  wake(id, branch);  // So that it is written before the next rest.
  branch->follower.put_file(lsn, path, content);
}

std::string Pageserver::read_page(TimelineId id, const PageKey& key, Lsn lsn, Deadline deadline) {
  BranchPtr branch = find(id);
  wake_for(id, branch, lsn);
  return branch->timeline->read_page(key, lsn, deadline);
}

void Pageserver::flush(TimelineId id, Deadline deadline) {
  find(id)->timeline->store().flush(deadline);
}

Skeleton Pageserver::skeleton(TimelineId id, Lsn lsn, Deadline deadline) {
  BranchPtr branch = find(id);
  if (!branch->timeline->store().readable(lsn)) require_history(*branch->timeline, lsn);
  wake(id, branch);  // Its ingest is needed, and is given back at the next rest.
  wake_for(id, branch, lsn);
  branch->timeline->store().wait_for_lsn(lsn, deadline);
  Skeleton skeleton = branch->follower.skeleton(lsn, deadline);
  try {
    add_hot_pages(*branch->timeline, skeleton, deadline);
  } catch (const Error& error) {
    // They only save time: the compute asks for those it needs.
    logger.warn("timeline {}: the hot pages at {} cannot be read: {}", id.str(), lsn.str(),
                error.what());
  }
  return skeleton;
}

// WAL from there on is needed if this folder is lost: by what the archive has, if there is one.
Lsn Pageserver::disk_consistent_lsn(TimelineId id) {
  const Lsn here = find(id)->timeline->store().disk_consistent_lsn();
  return options_.archive ? std::min(here, options_.archive->archived_lsn(id)) : here;
}

TimelineInfo Pageserver::describe(Branch& branch, Logical logical) {
  const Timeline& timeline = *branch.timeline;
  Manifest manifest = timeline.store().manifest();
  TimelineInfo info;
  info.tenant = manifest.tenant;
  info.timeline = manifest.timeline;
  info.ancestor = manifest.ancestor;
  info.ancestor_lsn = manifest.ancestor_lsn;
  info.last_record_lsn = timeline.store().last_record_lsn();
  info.disk_consistent_lsn = manifest.disk_consistent_lsn;
  const TimelineStore::Sizes sizes = timeline.store().sizes();
  info.physical_bytes = sizes.own;
  info.history_bytes = sizes.history;
  info.shared_bytes = sizes.shared;
  info.oldest_lsn = timeline.oldest_lsn();
  info.logical_bytes = logical == Logical::read ? branch.follower.logical_bytes()
                                                : branch.follower.known_logical_bytes().value_or(0);
  return info;
}

TimelineInfo Pageserver::timeline(TimelineId id) { return describe(*find(id), Logical::read); }

std::vector<TimelineInfo> Pageserver::timelines() {
  return describe_all([](const Branch&) { return true; });
}

std::vector<TimelineInfo> Pageserver::timelines_of(TenantId tenant) {
  return describe_all([&](const Branch& branch) { return branch.timeline->tenant() == tenant; });
}

std::vector<TimelineInfo> Pageserver::describe_all(
    const std::function<bool(const Branch&)>& wanted) {
  std::vector<BranchPtr> branches;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, branch] : branches_)
      if (wanted(*branch)) branches.push_back(branch);
  }
  std::vector<TimelineInfo> out;
  for (const BranchPtr& branch : branches) out.push_back(describe(*branch, Logical::if_known));
  return out;
}

TimelineInfo Pageserver::template_timeline(int major) {
  TimelineId id;
  {
    MutexLock lock(mutex_);
    auto found = templates_.find(major);
    if (found == templates_.end())
      throw Error(Errc::not_found, "there is no template for PostgreSQL {}", major);
    id = found->second;
  }
  // A start does not wait for the object store.
  const LayerReads reads(LayerReads::Patience::local_only);
  return timeline(id);
}

}  // namespace halogen::pageserver
