#include "pageserver/layers/local_layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "pageserver/layers/layer_format.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

constexpr size_t kFetches = 8;  // At a time.
constexpr size_t kHurried = 2;  // Reads of one reader that wait for fetches.
constexpr std::chrono::milliseconds kHurriedPatience{100};  // For a place among them.
constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::seconds kRoomPatience{2};
constexpr std::chrono::seconds kFailureTime{5};  // Before a damaged copy is fetched once more.
constexpr std::chrono::minutes kInUse{10};       // What was read lately.

metrics::Counter fetches = metrics::counter("halogen_pageserver_layer_fetches_total",
                                            "Layer files brought back from the object store.");
metrics::Counter fetched_bytes =
    metrics::counter("halogen_pageserver_layer_fetched_bytes_total",
                     "Bytes of layer files brought back from the object store.");
metrics::Counter fetch_failures =
    metrics::counter("halogen_pageserver_layer_fetch_failures_total",
                     "Layer files that could not be brought back from the object store, each "
                     "time.");
metrics::Counter removals =
    metrics::counter("halogen_pageserver_layer_removals_total",
                     "Layer files removed from the disk, as the object store has them.");
metrics::Histogram fetch_seconds =
    metrics::histogram("halogen_pageserver_layer_fetch_seconds",
                       "Time to bring a layer file back from the object store.");

// What is fetched is this layer's file before it takes its place.
void check_identity(int fd, const LocalLayer::Parts& layer) {
  struct stat stat;
  if (::fstat(fd, &stat) != 0) throw system_error(errno, "fstat of a layer file");
  const auto size = static_cast<uint64_t>(stat.st_size);
  if (size != layer.bytes || size < kLayerHeader.size() + kLayerFooterSize)
    throw Error(Errc::corrupt, "{}: the copy has {} bytes, not {}", layer.path, size, layer.bytes);
  const std::string footer = pread_exact(fd, kLayerFooterSize, size - kLayerFooterSize);
  const LayerFooter parsed = parse_footer(as_bytes(footer), size);
  if (parsed.identity != layer.identity && parsed.identity != 0)
    throw Error(Errc::corrupt, "{}: the copy is that of another layer", layer.path);
}

// Whether it is the store that fails, not one layer's copy or the disk here.
bool is_outage(Errc code) {
  return code != Errc::corrupt && code != Errc::io && code != Errc::cancelled;
}

}  // namespace

thread_local const LayerReads* LayerReads::current_ = nullptr;

LayerReads::LayerReads(Patience patience, TenantId reader)
    : before_(current_), patience_(patience), reader_(reader) {
  current_ = this;
}

LayerReads::~LayerReads() { current_ = before_; }

LayerReads::How LayerReads::of_this_thread() {
  return current_ ? How{current_->patience_, current_->reader_} : How();
}

UniqueFd LocalLayer::open() {
  for (bool again = false;; again = true) {
    try {
      return open_file(parts_.path, O_RDONLY);
    } catch (const Error& error) {
      if (error.code() != Errc::not_found) throw;
    }
    if (auto fetched = owner_.fetch(*this, again)) return std::move(*fetched);
  }
}

// Counts a hurried read while it waits. Throws unavailable if there are as many as there may be.
class LocalLayers::Visit {
 public:
  Visit(LocalLayers& owner, const LocalLayer& layer) : owner_(owner) {
    const LayerReads* reads = LayerReads::current_;
    if (!reads || reads->patience_ == LayerReads::Patience::patient) return;
    if (reads->patience_ == LayerReads::Patience::local_only) throw LayerNotHere(layer.parts_.path);
    const auto until = steady_clock::now() + kHurriedPatience;
    MutexLock lock(owner_.mutex_);
    auto waiting = [&]() REQUIRES(owner_.mutex_) -> size_t& {
      return owner_.hurried_[reads->reader_];
    };
    while (waiting() >= kHurried && owner_.changed_.wait_until(owner_.mutex_, until)) {
    }
    if (waiting() >= kHurried)
      throw Error(Errc::unavailable, "other layer files are being fetched for this project");
    waiting()++;
    reader_ = reads->reader_;
  }
  ~Visit() {
    if (!reader_) return;
    MutexLock lock(owner_.mutex_);
    auto waiting = owner_.hurried_.find(*reader_);
    if (--waiting->second == 0) owner_.hurried_.erase(waiting);
    owner_.changed_.notify_all();
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  LocalLayers& owner_;
  std::optional<TenantId> reader_;
};

LocalLayers::LocalLayers(Options options, LayerOrigin& origin)
    : options_(options), origin_(origin), metrics_([this] { return families(); }) {
  thread_ = std::thread([this] { run(); });
}

LocalLayers::~LocalLayers() { stop(); }

void LocalLayers::stop() {
  std::thread thread;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
    changed_.notify_all();
  }
  if (thread.joinable()) thread.join();
}

void LocalLayers::enter(const std::shared_ptr<LocalLayer>& layer, bool is_here,
                        std::function<void()> close) {
  layer->close_ = std::move(close);
  layer->here_ = is_here;
  MutexLock lock(mutex_);
  State& state = layers_[layer.get()];
  state.layer = layer;
  state.here = is_here;
  if (is_here) {
    bytes_here_ += layer->parts_.bytes;
  } else {
    files_away_++;
    bytes_away_ += layer->parts_.bytes;
  }
}

void LocalLayers::set_here(State& state, bool is_here) {
  if (state.here == is_here) return;
  state.here = is_here;
  state.layer->here_ = is_here;
  const uint64_t bytes = state.layer->parts_.bytes;
  bytes_here_ += is_here ? bytes : -bytes;
  bytes_away_ += is_here ? -bytes : bytes;
  files_away_ += is_here ? -1 : 1;
}

void LocalLayers::leave(LocalLayer& layer, bool is_obsolete) {
  std::shared_ptr<LocalLayer> kept;  // Until the lock is given back.
  {
    MutexLock lock(mutex_);
    auto found = layers_.find(&layer);
    if (found == layers_.end()) return;
    State& state = found->second;
    state.left = true;
    state.obsolete = is_obsolete;
    if (state.busy) return;  // end_work() goes on here.
    kept = state.layer;
    set_here(state, false);
    files_away_--;
    bytes_away_ -= layer.parts_.bytes;
    layers_.erase(found);
  }
  if (!is_obsolete) return;
  ::unlink(layer.parts_.path.c_str());
  ::unlink(layer_note(layer.parts_.path).c_str());
}

void LocalLayers::end_work(LocalLayer& layer, bool is_here) {
  bool left = false, obsolete = false;
  {
    MutexLock lock(mutex_);
    State& state = layers_.at(&layer);
    set_here(state, is_here);
    state.busy = false;
    auto working = working_.find(layer.parts_.name.timeline);
    if (--working->second == 0) working_.erase(working);
    left = state.left;
    obsolete = state.obsolete;
    changed_.notify_all();
  }
  if (left) leave(layer, obsolete);
}

void LocalLayers::close_timeline(TimelineId id) {
  MutexLock lock(mutex_);
  closed_.insert(id);
  while (working_.contains(id)) changed_.wait(mutex_);
}

void LocalLayers::open_timeline(TimelineId id) {
  MutexLock lock(mutex_);
  closed_.erase(id);
}

// Which pass is the first that begins after this.
uint64_t LocalLayers::want_pass() {
  passes_wanted_ = passes_begun_ + 1;
  changed_.notify_all();
  return passes_wanted_;
}

void LocalLayers::want_to_drop(uint64_t bytes) {
  drop_to_ = bytes_here_ > bytes ? bytes_here_ - bytes : 0;
}

void LocalLayers::drop(uint64_t bytes) {
  MutexLock lock(mutex_);
  want_to_drop(bytes);
  const uint64_t wanted = want_pass();
  while (passes_ended_ < wanted && !stopping_) changed_.wait(mutex_);
}

std::optional<UniqueFd> LocalLayers::fetch(LocalLayer& layer, bool vanished) {
  const Visit visit(*this, layer);
  if (!begin_fetch(layer, vanished)) return std::nullopt;
  const auto begun = steady_clock::now();
  try {
    wait_for_room();
    UniqueFd fd = bring(layer);
    end_fetch(layer, nullptr);
    fetch_seconds.observe(std::chrono::duration<double>(steady_clock::now() - begun).count());
    return fd;
  } catch (const Error& error) {
    end_fetch(layer, &error);
    throw;
  } catch (const std::exception& error) {  // Memory ran out.
    const Error failure(Errc::io, "{}", error.what());
    end_fetch(layer, &failure);
    throw;
  }
}

LocalLayers::State& LocalLayers::state_to_fetch(const LocalLayer& layer) {
  auto found = layers_.find(&layer);
  if (found == layers_.end() || found->second.left || stopping_ ||
      closed_.contains(layer.parts_.name.timeline))
    throw Error(Errc::cancelled, "the timeline is closing");
  State& state = found->second;
  if (state.failure && steady_clock::now() < state.failed_until) throw Error(*state.failure);
  return state;
}

// False: another thread did it while this one waited.
bool LocalLayers::begin_fetch(LocalLayer& layer, bool vanished) {
  const bool hurried =
      LayerReads::current_ && LayerReads::current_->patience_ == LayerReads::Patience::hurried;
  const auto until = steady_clock::now() + kHurriedPatience;
  MutexLock lock(mutex_);
  for (;;) {
    const State& state = state_to_fetch(layer);
    if (state.busy) {
      vanished = false;
      changed_.wait(mutex_);
      continue;
    }
    if (state.here && !vanished) return false;
    if (!problem_.empty() && (trying_ || steady_clock::now() < away_until_))
      throw Error(Errc::unavailable, "{} is in the object store alone, which does not answer: {}",
                  layer.parts_.path, problem_);
    if (fetching_ < kFetches) break;
    if (!hurried)
      changed_.wait(mutex_);
    else if (!changed_.wait_until(mutex_, until))
      throw Error(Errc::unavailable, "other layer files are being fetched");
  }
  State& state = layers_.at(&layer);
  set_here(state, false);
  state.busy = true;
  working_[layer.parts_.name.timeline]++;
  fetching_++;
  trying_ = !problem_.empty();
  bytes_here_ += layer.parts_.bytes;  // There must be room for it.
  return true;
}

void LocalLayers::end_fetch(LocalLayer& layer, const Error* error) {
  {
    MutexLock lock(mutex_);
    bytes_here_ -= layer.parts_.bytes;
    fetching_--;
    State& state = layers_.at(&layer);
    state.failure.reset();
    if (error && !is_outage(error->code()) && error->code() != Errc::cancelled) {
      state.failure = *error;
      state.failed_until = steady_clock::now() + kFailureTime;
    }
    note_outcome(error);
  }
  if (error) {
    fetch_failures.add();
  } else {
    fetches.add();
    fetched_bytes.add(static_cast<double>(layer.parts_.bytes));
  }
  end_work(layer, error == nullptr);
}

// One line for each outage.
void LocalLayers::note_outcome(const Error* error) {
  trying_ = false;
  if (error && !is_outage(error->code())) return;
  if (!error) {
    if (!problem_.empty())
      logger.info("layer files that are in the object store alone can be read again");
    problem_.clear();
    pause_ = std::chrono::milliseconds(0);
    return;
  }
  if (problem_.empty())
    logger.warn(
        "layer files that are in the object store alone cannot be read now: {}. All others can; it "
        "is tried again",
        error->what());
  problem_ = error->what();
  pause_ = std::clamp(pause_ * 2, options_.first_pause, options_.last_pause);
  away_until_ = steady_clock::now() + pause_;
}

// What the store says now counts more than what it said when the note was written.
LayerCopy LocalLayers::find_copy(const LocalLayer& layer) {
  const LocalLayer::Parts& parts = layer.parts_;
  if (auto copy = origin_.copy_of(parts.name); copy && copy->bytes == parts.bytes) return *copy;
  const std::optional<LayerCopy> noted = read_layer_note(parts.path, parts.name);
  if (!noted)
    throw Error(Errc::corrupt, "{}: {}, and the object store has no copy of it", parts.path,
                system_error(ENOENT, "it is not there").what());
  if (noted->bytes != parts.bytes)
    throw Error(Errc::corrupt, "{}: the copy in the object store has {} bytes, not {}", parts.path,
                noted->bytes, parts.bytes);
  return *noted;
}

UniqueFd LocalLayers::bring(const LocalLayer& layer) {
  const LayerCopy copy = find_copy(layer);
  const std::string file = layer.parts_.path;
  for (bool again = false;; again = true) {
    try {
      return bring_once(layer, copy);
    } catch (const Error& error) {
      switch (error.code()) {
        case Errc::io:  // The disk is full, most likely.
          if (again) throw;
          {
            MutexLock lock(mutex_);
            want_to_drop(2 * layer.parts_.bytes);
          }
          wait_for_room();
          continue;
        case Errc::not_found:
          throw Error(Errc::corrupt, "{} is neither here nor in the object store{}: {}", file,
                      origin_.is_lost() ? ", which another platform has taken over" : "",
                      error.what());
        case Errc::corrupt:
        case Errc::cancelled:
          throw;
        default:
          throw Error(Errc::unavailable, "{} cannot be fetched: {}", file, error.what());
      }
    }
  }
}

UniqueFd LocalLayers::bring_once(const LocalLayer& layer, const LayerCopy& copy) {
  const LocalLayer::Parts& parts = layer.parts_;
  fs::path temporary = parts.path;
  temporary += ".tmp";  // Removed at the next start, if this one ends here.
  try {
    origin_.fetch(parts.name, copy, temporary, [&] { pause(layer); });
    UniqueFd fd = open_file(temporary, O_RDONLY);
    check_identity(fd.get(), parts);
    if (::rename(temporary.c_str(), parts.path.c_str()) != 0) throw system_error(errno, parts.path);
    fsync_folder(fs::path(parts.path).parent_path());
    return fd;
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void LocalLayers::pause(const LocalLayer& layer) {
  MutexLock lock(mutex_);
  if (stopping_ || closed_.contains(layer.parts_.name.timeline))
    throw Error(Errc::cancelled, "the timeline is closing");
}

// Until there is room, or all that could be done for it has been done.
void LocalLayers::wait_for_room() {
  MutexLock lock(mutex_);
  if (!is_over() || lost_) return;
  const uint64_t wanted = want_pass();
  const Deadline deadline = Deadline::after(kRoomPatience);
  while (is_over() && passes_ended_ < wanted && !stopping_ && !deadline.passed())
    changed_.wait_until(mutex_, deadline.at());
}

void LocalLayers::run() {
  for (;;) {
    const bool lost = origin_.is_lost();
    bool room = false, fill = false;
    {
      MutexLock lock(mutex_);
      lost_ = lost;
      const auto until = steady_clock::now() + kTick;
      fill = fills(lost);
      while (!stopping_ && passes_wanted_ <= passes_begun_ && !fill &&
             changed_.wait_until(mutex_, until)) {
      }
      if (stopping_) return;
      room = is_over();
      passes_begun_++;
    }
    try {
      if (room && !lost) make_room();
      if (fill) fill_one();
    } catch (const std::exception& error) {
      logger.warn("the cache of layer files: {}", error.what());
    }
    MutexLock lock(mutex_);
    if (passes_wanted_ <= passes_begun_) drop_to_ = UINT64_MAX;  // Else that is for the next one.
    passes_ended_ = passes_begun_;
    changed_.notify_all();
  }
}

void LocalLayers::make_room() {
  for (const Candidate& candidate : candidates()) {
    {
      MutexLock lock(mutex_);
      if (!is_over() || stopping_) return;
    }
    remove(*candidate.layer);
  }
}

std::vector<LocalLayers::Candidate> LocalLayers::candidates() const {
  std::vector<Candidate> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [layer, state] : layers_)
      if (state.here && !state.busy && !state.left)
        all.push_back({state.layer, layer->last_read_.load()});
  }
  put_in_order(all);
  return all;
}

// The least recently read first; but what a project has read lately, and is within its equal share,
// comes last: one that reads much pushes out what is its own.
void LocalLayers::put_in_order(std::vector<Candidate>& all) const {
  std::sort(all.begin(), all.end(),
            [](const Candidate& a, const Candidate& b) { return a.last_read > b.last_read; });
  const auto lately = (steady_clock::now() - kInUse).time_since_epoch().count();
  std::map<TenantId, uint64_t> used;
  for (const Candidate& candidate : all)
    if (candidate.last_read >= lately && candidate.last_read > 0)
      used[candidate.layer->parts_.tenant] = 0;
  const uint64_t share = limit() / std::max<size_t>(used.size(), 1);
  for (Candidate& candidate : all) {
    auto own = used.find(candidate.layer->parts_.tenant);
    if (own == used.end() || candidate.last_read < lately) continue;
    own->second += candidate.layer->parts_.bytes;
    candidate.kept = own->second <= share;
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.kept, a.last_read) < std::pair(b.kept, b.last_read);
  });
}

// The note before the file goes: a crash between the two leaves both.
bool LocalLayers::remove(LocalLayer& layer) {
  const LocalLayer::Parts& parts = layer.parts_;
  const std::optional<LayerCopy> copy = origin_.copy_of(parts.name);
  if (!copy || copy->bytes != parts.bytes || !begin_removal(layer)) return false;
  bool gone = false;
  try {
    std::optional<LayerCopy> noted;
    try {
      noted = read_layer_note(parts.path, parts.name);
    } catch (const Error& error) {
      logger.info("{}; it is written anew", error.what());
    }
    if (noted != copy) write_layer_note(parts.path, parts.name, *copy);
    gone = ::unlink(parts.path.c_str()) == 0;
  } catch (const Error& error) {
    logger.warn("{} cannot be removed from the disk: {}", parts.path, error.what());
  }
  if (gone) {
    removals.add();
    layer.close_();
  }
  end_work(layer, !gone);
  if (gone) layer.close_();  // Who opened it meanwhile sees is_here(), or was before this.
  return gone;
}

bool LocalLayers::begin_removal(LocalLayer& layer) {
  MutexLock lock(mutex_);
  auto found = layers_.find(&layer);
  if (found == layers_.end()) return false;
  State& state = found->second;
  if (!state.here || state.busy || state.left || closed_.contains(layer.parts_.name.timeline))
    return false;
  state.busy = true;
  working_[layer.parts_.name.timeline]++;
  has_removed_ = true;
  return true;
}

// A platform that was brought back has its files again in the end, if there is no limit; and one
// whose store was taken over, as long as they are still there.
bool LocalLayers::fills(bool lost) const {
  const bool has_room = limit() == kNoLimit && !has_removed_;
  const bool answers = problem_.empty() || steady_clock::now() >= away_until_;
  return files_away_ > 0 && (has_room || lost) && fetching_ == 0 && answers;
}

void LocalLayers::fill_one() {
  if (to_fill_.empty()) {
    MutexLock lock(mutex_);
    for (const auto& [layer, state] : layers_)
      if (!state.here && !state.busy && !state.failure) to_fill_.push_back(state.layer);
  }
  if (to_fill_.empty()) {
    MutexLock lock(mutex_);
    changed_.wait_until(mutex_, steady_clock::now() + kTick);
    return;
  }
  const std::shared_ptr<LocalLayer> layer = to_fill_.front().lock();
  to_fill_.pop_front();
  if (!layer || layer->is_here()) return;
  try {
    fetch(*layer, false);
  } catch (const Error& error) {
    if (error.code() == Errc::corrupt) logger.error("{}", error.what());
    if (error.code() == Errc::io) {
      MutexLock lock(mutex_);
      has_removed_ = true;  // There is no room.
    }
  }
}

LocalLayers::Status LocalLayers::status() const {
  MutexLock lock(mutex_);
  return {.limit = limit(),
          .files_here = layers_.size() - files_away_,
          .bytes_here = bytes_here_,
          .files_away = files_away_,
          .bytes_away = bytes_away_,
          .problem = problem_};
}

std::vector<metrics::Family> LocalLayers::families() const {
  using metrics::Family;
  const Status now = status();
  auto where = [](const char* place, uint64_t value) {
    return metrics::Series{.labels = {{"where", place}}, .value = static_cast<double>(value)};
  };
  return {
      {.kind = Family::Kind::gauge,
       .name = "halogen_pageserver_layer_cache_files",
       .help = "Layer files on the disk, and in the object store alone.",
       .series = {where("disk", now.files_here), where("store", now.files_away)}},
      {.kind = Family::Kind::gauge,
       .name = "halogen_pageserver_layer_cache_bytes",
       .help = "Bytes of layer files on the disk, and in the object store alone.",
       .series = {where("disk", now.bytes_here), where("store", now.bytes_away)}},
  };
}

}  // namespace halogen::pageserver
