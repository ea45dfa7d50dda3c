// local_layers.h: which layer files are on this disk, where an object store has copies of them.
// The disk is a cache then: bounded in bytes, the least recently read files go first, and come back
// when they are read.
//
// A file may go only while the store has a copy that a manifest there names (LayerOrigin::copy_of).
// What takes its place first is a note of that copy (protocol/layer_copy.h), durably: so a file
// that is missing without a note, or a copy in the store, is damage, as ever.
//
// Threads: any; one of its own removes files, and brings back what should be here. A read fetches
// in its own thread. No lock is held across I/O.
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/deadline.h"
#include "base/error.h"
#include "base/metric_sources.h"
#include "base/mutex.h"
#include "protocol/archived.h"

namespace halogen::pageserver {

class LocalLayers;

// A read with LayerReads::Patience::local_only has met a file that is not here.
class LayerNotHere : public Error {
 public:
  explicit LayerNotHere(const fs::path& path)
      : Error(Errc::unavailable, "{} is in the object store alone", path.string()) {}
};

// What reads of this thread do about files that have to be fetched, while this object lives.
class LayerReads {
 public:
  enum class Patience {
    patient,     // The default: wait for the fetch, and for others before it.
    hurried,     // For clients that ask again: of one reader only a few wait at a time, so that its
                 // other reads go on. The rest gets `unavailable`.
    local_only,  // Throw LayerNotHere.
  };
  explicit LayerReads(Patience patience, TenantId reader = TenantId());
  // As another thread, for which this one helps out.
  struct How {
    Patience patience = Patience::patient;
    TenantId reader;
  };
  explicit LayerReads(const How& how) : LayerReads(how.patience, how.reader) {}
  static How of_this_thread();
  ~LayerReads();
  LayerReads(const LayerReads&) = delete;
  LayerReads& operator=(const LayerReads&) = delete;

 private:
  friend class LocalLayers;
  static thread_local const LayerReads* current_;

  const LayerReads* const before_;
  const Patience patience_;
  const TenantId reader_;
};

// One layer file, as LocalLayers knows it. Belongs to the LayerFile.
class LocalLayer {
 public:
  struct Parts {
    TenantId tenant;
    LayerName name;
    uint64_t bytes = 0;
    uint64_t identity = 0;  // layer_identity().
    std::string path;       // As in TimelineStore.
  };
  // `owner` outlives the LayerFile.
  LocalLayer(LocalLayers& owner, Parts parts) : parts_(std::move(parts)), owner_(owner) {}

  // The file for reading, after it was fetched, if need be. Throws unavailable if that cannot be
  // done now, corrupt if there is no such file anywhere.
  UniqueFd open();
  void touch() { last_read_ = steady_clock::now().time_since_epoch().count(); }
  bool is_here() const { return here_; }

 private:
  friend class LocalLayers;
  const Parts parts_;
  LocalLayers& owner_;
  std::function<void()> close_;  // Gives back the descriptor.
  std::atomic<steady_clock::rep> last_read_ = 0;
  std::atomic<bool> here_ = true;
};

class LocalLayers {
 public:
  static constexpr uint64_t kNoLimit = UINT64_MAX;
  struct Options {
    uint64_t limit = kNoLimit;  // Of the bytes of files that are here.
    // After the store did not answer: what has to be fetched fails at once for so long.
    std::chrono::milliseconds first_pause{200};
    std::chrono::milliseconds last_pause{5000};
  };

  // `origin` must outlive it.
  LocalLayers(Options options, LayerOrigin& origin);
  // Requires stop().
  ~LocalLayers();
  LocalLayers(const LocalLayers&) = delete;
  LocalLayers& operator=(const LocalLayers&) = delete;

  // Ends the thread, and fetches: they throw `cancelled`.
  void stop() EXCLUDES(mutex_);

  // A LayerFile begins and ends. `close` gives back its descriptor. An obsolete one's file goes.
  void enter(const std::shared_ptr<LocalLayer>& layer, bool is_here, std::function<void()> close)
      EXCLUDES(mutex_);
  void leave(LocalLayer& layer, bool is_obsolete) EXCLUDES(mutex_);

  // Nothing is written into this timeline's folder any more when this returns, until it is opened.
  void close_timeline(TimelineId id) EXCLUDES(mutex_);
  void open_timeline(TimelineId id) EXCLUDES(mutex_);

  // Removes files of about so many bytes, if the store has them: the disk is full. Returns when
  // that has been tried.
  void drop(uint64_t bytes) EXCLUDES(mutex_);

  struct Status {
    uint64_t limit = kNoLimit;
    uint64_t files_here = 0, bytes_here = 0;
    uint64_t files_away = 0, bytes_away = 0;
    std::string problem;  // Why nothing can be fetched now; or empty.
  };
  Status status() const EXCLUDES(mutex_);

 private:
  friend class LocalLayer;
  // Of one that has entered.
  struct State {
    std::shared_ptr<LocalLayer> layer;
    bool here = true;
    bool busy = false;  // Being fetched or removed.
    bool left = false;  // It left meanwhile: who made it busy ends that.
    bool obsolete = false;
    std::optional<Error> failure;  // Why it cannot be fetched, as of lately.
    steady_clock::time_point failed_until;
  };
  // What may be removed, the first in order first.
  struct Candidate {
    std::shared_ptr<LocalLayer> layer;
    steady_clock::rep last_read = 0;
    bool kept = false;  // Within its project's share, and in use.
  };
  class Visit;

  // nullopt: another thread has fetched it; look again. `vanished`: it was here, by what is known.
  std::optional<UniqueFd> fetch(LocalLayer& layer, bool vanished) EXCLUDES(mutex_);
  bool begin_fetch(LocalLayer& layer, bool vanished) EXCLUDES(mutex_);
  State& state_to_fetch(const LocalLayer& layer) REQUIRES(mutex_);
  void end_fetch(LocalLayer& layer, const Error* error) EXCLUDES(mutex_);
  void note_outcome(const Error* error) REQUIRES(mutex_);
  UniqueFd bring(const LocalLayer& layer);
  UniqueFd bring_once(const LocalLayer& layer, const LayerCopy& copy);
  LayerCopy find_copy(const LocalLayer& layer);
  void pause(const LocalLayer& layer) EXCLUDES(mutex_);
  void wait_for_room() EXCLUDES(mutex_);
  uint64_t want_pass() REQUIRES(mutex_);
  void want_to_drop(uint64_t bytes) REQUIRES(mutex_);

  void run();
  bool is_over() const REQUIRES(mutex_) { return bytes_here_ > std::min(limit(), drop_to_); }
  uint64_t limit() const { return options_.limit; }
  void make_room() EXCLUDES(mutex_);
  std::vector<Candidate> candidates() const EXCLUDES(mutex_);
  void put_in_order(std::vector<Candidate>& all) const;
  bool remove(LocalLayer& layer) EXCLUDES(mutex_);
  bool begin_removal(LocalLayer& layer) EXCLUDES(mutex_);
  void end_work(LocalLayer& layer, bool is_here) EXCLUDES(mutex_);
  bool fills(bool lost) const REQUIRES(mutex_);
  void fill_one() EXCLUDES(mutex_);
  void set_here(State& state, bool is_here) REQUIRES(mutex_);
  std::vector<metrics::Family> families() const;

  const Options options_;
  LayerOrigin& origin_;

  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::unordered_map<const LocalLayer*, State> layers_ GUARDED_BY(mutex_);
  std::set<TimelineId> closed_ GUARDED_BY(mutex_);
  std::map<TimelineId, size_t> working_ GUARDED_BY(mutex_);  // Busy layers of each timeline.
  std::map<TenantId, size_t> hurried_ GUARDED_BY(mutex_);    // Reads that wait, of each reader.
  size_t fetching_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_here_ GUARDED_BY(mutex_) = 0;  // With what is being fetched.
  uint64_t files_away_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_away_ GUARDED_BY(mutex_) = 0;
  uint64_t drop_to_ GUARDED_BY(mutex_) = UINT64_MAX;

  // The store does not answer: until when nothing is asked of it, and whether one read tries.
  std::string problem_ GUARDED_BY(mutex_);
  steady_clock::time_point away_until_ GUARDED_BY(mutex_);
  std::chrono::milliseconds pause_ GUARDED_BY(mutex_){0};
  bool trying_ GUARDED_BY(mutex_) = false;

  // Passes of the thread over what is here.
  uint64_t passes_wanted_ GUARDED_BY(mutex_) = 0;
  uint64_t passes_begun_ GUARDED_BY(mutex_) = 0;
  uint64_t passes_ended_ GUARDED_BY(mutex_) = 0;
  bool has_removed_ GUARDED_BY(mutex_) = false;  // So there is no room for all.
  bool lost_ GUARDED_BY(mutex_) = false;         // As LayerOrigin::is_lost().

  std::deque<std::weak_ptr<LocalLayer>> to_fill_;  // The thread's.
  metrics::Registration metrics_;
  std::thread thread_;
};

}  // namespace halogen::pageserver
