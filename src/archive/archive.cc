#include "archive/archive.h"

#include <algorithm>

#include "archive/layer_reader.h"
#include "archive/lease.h"
#include "archive/page_archiver.h"
#include "archive/wal_archiver.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parallel.h"

namespace halogen::archive {
namespace {

using objectstore::Content;

const log::Logger logger("archive");

constexpr std::chrono::milliseconds kBulkInterval{500};
constexpr std::chrono::milliseconds kFinishingInterval{20};
constexpr std::chrono::milliseconds kFirstPause{500};
constexpr size_t kCopies = 4;  // Of WAL, at a time.
constexpr std::chrono::milliseconds kReadPause{100};
constexpr std::chrono::seconds kLeaseCheck{10};

// What one timeline's own files or fate are to blame for, so that others go on.
bool is_of_one_timeline(Errc code) {
  return code == Errc::not_found || code == Errc::corrupt || code == Errc::gone ||
         code == Errc::cancelled || code == Errc::conflict;
}

double seconds_since(std::optional<steady_clock::time_point> since) {
  if (!since) return 0;
  return std::chrono::duration<double>(steady_clock::now() - *since).count();
}

std::string state_of(const Error& error) {
  switch (error.code()) {
    case Errc::fenced:
      return "fenced";
    case Errc::permission_denied:
    case Errc::invalid_argument:
      return "refused";
    default:
      return "away";
  }
}

}  // namespace

// From when the lease is taken.
struct Archive::Work {
  Work(objectstore::ObjectStore& store, ArchivedPages& source, ArchivedWal& wal_source, Lease taken,
       std::chrono::milliseconds grace)
      : lease(taken),
        wal(store, wal_source, lease.generation()),
        pages({store, source, wal, lease, grace}) {}

  const Lease lease;
  WalArchiver wal;
  PageArchiver pages;

  Mutex mutex;
  std::set<TimelineId> broken GUARDED_BY(mutex);  // Cannot be copied: their own files are damaged.
};

Archive::Archive(Options options)
    : options_(std::move(options)),
      store_(options_.store),
      reading_(options_.store, {.attempts = 2, .first_pause = kReadPause}),
      metrics_([this] { return families(); }) {}

Archive::~Archive() { stop(Deadline::after(steady_clock::duration(0))); }

void Archive::start(ArchivedPages& pages, ArchivedWal& wal, CatalogSource catalog) {
  pages_ = &pages;
  wal_ = &wal;
  catalog_ = std::move(catalog);
  quick_thread_ = std::thread([this] { run(Kind::quick); });
  bulk_thread_ = std::thread([this] { run(Kind::bulk); });
}

void Archive::pages_changed(TimelineId id) { dirty_pages_.mark(id); }

void Archive::wal_changed(TimelineId id) { dirty_wal_.mark(id); }

void Archive::wal_cut(TimelineId id, Lsn end) {
  if (auto work = this->work()) work->wal.cut(id, end);
}

Lsn Archive::archived_lsn(TimelineId id) {
  auto work = this->work();
  return work ? work->pages.consistent(id) : Lsn();
}

std::optional<LayerCopy> Archive::copy_of(const LayerName& name) {
  auto work = this->work();
  if (!work || is_lost()) return std::nullopt;
  return work->pages.copy_of(name);
}

bool Archive::is_lost() {
  MutexLock lock(mutex_);
  return lost_;
}

void Archive::fetch(const LayerName& name, const LayerCopy& copy, const fs::path& file,
                    const std::function<void()>& pause) {
  write_layer(reading_, name.timeline, name.layer, copy, file, pause);
}

std::shared_ptr<Archive::Work> Archive::work() const {
  MutexLock lock(mutex_);
  return work_;
}

bool Archive::all_is_there() const {
  return dirty_wal_.size() + dirty_pages_.size() + dirty_catalog_.size() == 0;
}

void Archive::stop(Deadline deadline) {
  uint64_t target = 0;
  {
    MutexLock lock(mutex_);
    finishing_ = true;
    changed_.notify_all();
    target = quick_.rounds + 2;  // One that has begun after this.
  }
  while (quick_thread_.joinable() && !deadline.passed()) {
    MutexLock lock(mutex_);
    const bool works = quick_.problem.empty() && bulk_.problem.empty();
    if (!works || (all_is_there() && quick_.rounds >= target)) break;
    changed_.wait_until(mutex_, steady_clock::now() + kFinishingInterval);
  }
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  store_.cancel();
  reading_.cancel();
  if (quick_thread_.joinable()) quick_thread_.join();
  if (bulk_thread_.joinable()) bulk_thread_.join();
}

void Archive::run(Kind kind) {
  while (wait_for_next(kind)) {
    try {
      round(kind);
      note_success(kind);
    } catch (const Error& error) {
      note_failure(kind, error);
      if (error.code() == Errc::fenced) return;
    } catch (const std::exception& error) {  // Memory ran out.
      note_failure(kind, Error(Errc::unavailable, "{}", error.what()));
    }
  }
}

bool Archive::wait_for_next(Kind kind) {
  MutexLock lock(mutex_);
  auto wait = kind == Kind::quick ? options_.interval : std::min(options_.interval, kBulkInterval);
  if (health(kind).rounds == 0) wait = std::chrono::milliseconds(0);
  if (kind == Kind::bulk && !work_) wait = kFinishingInterval;
  wait = std::max(wait, health(kind).pause);
  const auto begun = steady_clock::now();
  for (;;) {
    const bool hurry = finishing_ && health(kind).problem.empty();
    const auto until = begun + (hurry ? std::min(wait, kFinishingInterval) : wait);
    if (stopping_ || steady_clock::now() >= until) return !stopping_;
    changed_.wait_until(mutex_, until);
  }
}

void Archive::round(Kind kind) {
  if (kind == Kind::quick && !work()) attach();
  auto work = this->work();
  if (!work) return;
  if (kind == Kind::quick)
    quick_round(*work);
  else
    bulk_round(*work);
}

void Archive::note_success(Kind kind) {
  MutexLock lock(mutex_);
  Health& now = health(kind);
  if (!now.problem.empty()) logger.info("{} works again", store_.name());
  now = {.state = "running", .rounds = now.rounds + 1};
  changed_.notify_all();
}

// One line for each outage.
void Archive::note_failure(Kind kind, const Error& error) {
  MutexLock lock(mutex_);
  if (stopping_) return;
  Health& now = health(kind);
  const bool is_news = quick_.problem.empty() && bulk_.problem.empty();
  lost_ = lost_ || error.code() == Errc::fenced;
  now.state = state_of(error);
  now.problem = error.what();
  now.pause = std::clamp(now.pause * 2, kFirstPause, options_.longest_pause);
  changed_.notify_all();
  if (error.code() == Errc::fenced)
    logger.error("{}", error.what());
  else if (is_news)
    logger.warn(
        "nothing can be copied to the object store now: {}. All else goes on; it is tried again, "
        "and WAL is kept until then",
        error.what());
}

// What is there already is found by one listing; what differs is found timeline by timeline.
void Archive::attach() {
  auto work = std::make_shared<Work>(store_, *pages_, *wal_,
                                     Lease::take(store_, options_.home, false), options_.grace);
  for (const auto& object : store_.list(std::string(kTimelines))) {
    const std::optional<TimelineKey> key = parse_timeline_key(object.key);
    if (!key) continue;
    if (const auto* manifest = std::get_if<ManifestKey>(&key->what))
      work->pages.found(key->timeline, *manifest);
    if (const auto* layer = std::get_if<LayerKey>(&key->what))
      work->pages.found(key->timeline, *layer);
    if (const auto* piece = std::get_if<PieceKey>(&key->what))
      work->wal.found(key->timeline, *piece);
  }
  {
    MutexLock lock(mutex_);
    work_ = work;  // From here on cuts are heard of.
  }
  for (TimelineId id : wal_->wal_timelines()) dirty_wal_.mark(id);
  for (TimelineId id : pages_->stored_timelines()) dirty_pages_.mark(id);
  dirty_catalog_.mark(TimelineId());
  logger.info("copying to {}, generation {}", store_.name(), work->lease.generation());
}

void Archive::quick_round(Work& work) {
  if (steady_clock::now() >= next_check_) {
    work.lease.check(store_);
    next_check_ = steady_clock::now() + kLeaseCheck;
  }
  copy_wal(work);
  copy_catalog(work);
}

// A few timelines at a time: one whose requests are slow keeps no others back.
void Archive::copy_wal(Work& work) {
  const auto taken = dirty_wal_.take();
  const std::vector<std::pair<TimelineId, DirtySet::Since>> dirty(taken.begin(), taken.end());
  std::vector<std::atomic<bool>> settled(dirty.size());
  try {
    in_parallel(kCopies, dirty.size(), [&](size_t at) {
      const auto& [id, since] = dirty[at];
      copy_wal_of(work, id, since);
      settled[at] = true;
    });
  } catch (...) {
    for (size_t at = 0; at < dirty.size(); at++)
      if (!settled[at]) dirty_wal_.put_back(dirty[at].first, dirty[at].second);
    throw;
  }
}

void Archive::copy_wal_of(Work& work, TimelineId id, steady_clock::time_point since) {
  try {
    work.wal.upload(id);
    work.wal.trim(id, work.pages.consistent(id));
    dirty_wal_.done(id);
  } catch (const Error& error) {
    if (!is_of_one_timeline(error.code())) throw;
    logger.debug("timeline {}: its WAL was not copied: {}", id.str(), error.what());
    if (error.code() == Errc::not_found)
      dirty_wal_.done(id);
    else
      dirty_wal_.put_back(id, since);
  }
}

// A catalog should not name what the store has not.
void Archive::copy_catalog(Work& work) {
  if (catalog_.changed()) dirty_catalog_.mark(TimelineId());
  auto dirty = dirty_catalog_.take();
  if (dirty.empty()) return;
  const auto since = dirty.begin()->second;
  try {
    const std::string image = catalog_.image();
    if (steady_clock::now() < since + options_.catalog_patience) require_timelines(work);
    copy_secrets(work);
    store_.put(catalog_key(work.lease.generation()), Content::of(wrap(image)));
    dirty_catalog_.done(TimelineId());
    if (!older_removed_) remove_older(work);
  } catch (const Error& error) {
    dirty_catalog_.put_back(TimelineId(), since);
    if (error.code() != Errc::conflict) throw;
  }
}

void Archive::require_timelines(Work& work) const {
  for (TimelineId id : catalog_.ready()) {
    MutexLock lock(work.mutex);
    if (!work.pages.has(id) && !work.broken.contains(id))
      throw Error(Errc::conflict, "timeline {} is not in the store yet", id.str());
  }
}

void Archive::copy_secrets(Work& work) {
  if (options_.passphrase.empty()) return;
  const SecretFiles files = catalog_.secrets();
  std::string all;
  for (const auto& [path, content] : files) all += path + '\0' + content + '\0';
  if (all == secrets_there_) return;
  store_.put(secrets_key(work.lease.generation()), Content::of(seal(files, options_.passphrase)));
  secrets_there_ = all;
}

void Archive::remove_older(Work& work) {
  work.lease.check(store_);
  for (std::string_view folder : {kCatalogs, kSecrets, kGenerations}) {
    if (folder == kSecrets && options_.passphrase.empty()) continue;  // They are the last ones.
    for (const auto& object : store_.list(std::string(folder)))
      if (auto generation = parse_generation(object.key, folder);
          generation && *generation < work.lease.generation())
        store_.remove(object.key);
  }
  older_removed_ = true;
}

void Archive::bulk_round(Work& work) {
  while (copy_pages(work)) {
  }
  if (steady_clock::now() >= next_sweep_) {
    sweep(work);
    next_sweep_ = steady_clock::now() + options_.sweep_interval;
  }
  // What a catalog that is still to be replaced names stays.
  if (seconds_since(dirty_catalog_.oldest()) * 2000 < static_cast<double>(options_.grace.count()))
    work.pages.remove_due();
}

bool Archive::copy_pages(Work& work) {
  auto dirty = dirty_pages_.take();
  bool waits = false, went_on = false;
  while (!dirty.empty()) {
    const auto [id, since] = *dirty.begin();
    bool broken = false;
    try {
      work.pages.upload(id);
      dirty_pages_.done(id);
      dirty_wal_.mark(id);  // It may be trimmed.
      went_on = true;
    } catch (const Error& error) {
      if (!is_of_one_timeline(error.code())) {
        for (const auto& [other, waiting] : dirty) dirty_pages_.put_back(other, waiting);
        throw;
      }
      logger.debug("timeline {}: not copied: {}", id.str(), error.what());
      broken = error.code() == Errc::corrupt || error.code() == Errc::not_found;
      waits = waits || error.code() == Errc::conflict;
      if (error.code() == Errc::not_found)
        dirty_pages_.done(id);
      else
        dirty_pages_.put_back(id, since);
    }
    MutexLock lock(work.mutex);
    if (!broken)
      work.broken.erase(id);
    else if (work.broken.insert(id).second && dirty_pages_.has(id))
      logger.error("timeline {} cannot be copied to the object store: it is damaged", id.str());
    dirty.erase(id);
  }
  return waits && went_on;
}

void Archive::sweep(Work& work) {
  std::set<TimelineId> wanted = catalog_.timelines();
  for (TimelineId id : pages_->stored_timelines()) wanted.insert(id);
  work.pages.sweep(wanted);
}

Archive::Status Archive::status() const {
  Status status;
  status.store = store_.name();
  status.seals_secrets = !options_.passphrase.empty();
  for (const DirtySet* set : {&dirty_wal_, &dirty_pages_, &dirty_catalog_}) {
    status.lag_seconds = std::max(status.lag_seconds, seconds_since(set->oldest()));
    status.waiting += set->size();
  }
  auto work = this->work();
  if (work) status.lag_bytes = work->pages.bytes_to_go();
  MutexLock lock(mutex_);
  const Health& worse = quick_.problem.empty() ? bulk_ : quick_;
  status.state = worse.problem.empty() ? quick_.state : worse.state;
  status.problem = worse.problem;
  return status;
}

std::string Archive::describe() const {
  const Status now = status();
  std::string text = now.store;
  if (!now.problem.empty()) text += ": " + now.problem;
  if (now.waiting > 0)
    text += fmt::format(", {:.0f} s and {} bytes of layers behind", now.lag_seconds, now.lag_bytes);
  if (!now.seals_secrets) text += ", without keys and certificates";
  return text;
}

std::vector<metrics::Family> Archive::families() const {
  using metrics::Family;
  auto seconds = [](const char* what, const DirtySet& set) {
    return metrics::Series{.labels = {{"what", what}}, .value = seconds_since(set.oldest())};
  };
  const Status now = status();
  return {
      {.kind = Family::Kind::gauge,
       .name = "halogen_archive_lag_seconds",
       .help = "Since when the oldest that is not in the object store yet was durable here.",
       .series = {seconds("wal", dirty_wal_), seconds("layers", dirty_pages_),
                  seconds("catalog", dirty_catalog_)}},
      {.kind = Family::Kind::gauge,
       .name = "halogen_archive_lag_bytes",
       .help = "Bytes of the layer files that are being copied to the object store.",
       .series = {{.labels = {}, .value = static_cast<double>(now.lag_bytes)}}},
      {.kind = Family::Kind::gauge,
       .name = "halogen_archive_works",
       .help = "1 while the object store takes what is copied there.",
       .series = {{.labels = {}, .value = now.problem.empty() ? 1.0 : 0.0}}},
  };
}

}  // namespace halogen::archive
