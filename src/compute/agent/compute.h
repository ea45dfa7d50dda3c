// compute.h: one endpoint's compute on this machine: its files, its Postgres, its wake and suspend.
//
// <home>/<endpoint>/data-<random>  the data directory: a cache, thrown away after anything but a
//                                 clean stop. Each has a name of its own, so that whoever still
//                                 deletes or uses an old one cannot hit the new one. While it is
//                                 in use it is in the compute's room (room.h).
// <home>/<endpoint>/data-<random>.manifest  the shim's: which blocks are local
// <home>/<endpoint>/clean         exists only while the data directory that it names is the exact
//                                 state after a clean stop
// <home>/<endpoint>/postgres.log
// <run>/<random>/                 a new one for every start: socket and readiness socket, so that
//                                 nobody can reach an older postmaster by mistake
//
// Threads: safe from any; start, suspend, destroy and the cleaning up after a crash take turns.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "compute/agent/autovacuum_watch.h"
#include "compute/agent/data_directory.h"
#include "compute/agent/folder_pool.h"
#include "compute/agent/outgoing_traffic.h"
#include "compute/agent/postmaster.h"
#include "compute/agent/settings.h"
#include "compute/agent/turns.h"
#include "protocol/compute_host.h"
#include "protocol/isolation.h"
#include "protocol/pageserver_admin.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::compute {

class SqlConnection;
class StepTimes;

// What all computes of an agent share. Outlives them.
struct ComputeServices {
  PageserverAdmin& pageserver;
  SafekeeperAdmin& safekeeper;
  WalPath wal;
  FolderPool& folders;
  SparePostmasters& spares;
  Supervisor& supervisor;
  fs::path home;
  uint64_t cache_bytes;  // See ComputeAgent::Options.
  std::chrono::milliseconds reads_move_on;
  RoomPlaces places;
  IsolationLayers layers;
  // A compute's Postgres has ended, in whatever way. Called on the supervisor's thread.
  std::function<void(const std::string& endpoint_id)> process_ended;
};

class Compute {
 public:
  static constexpr const char* kCleanFile = "clean";
  static std::vector<fs::path> data_directories(const fs::path& endpoint_folder);
  static void discard_data(FolderPool& folders, const fs::path& endpoint_folder);
  Compute(std::string endpoint_id, ComputeServices& services);
  ~Compute();

  ComputeAddress start(const ComputeSpec& spec, Deadline deadline);
  ComputeStopped suspend(bool force, Deadline deadline);
  // Stops it as if its power failed and removes all files.
  void destroy();
  // After an end that nobody asked for: throws the data directory away. True if there was one.
  bool clean_up_crash();
  // Deletes the kept data directory unless it is in use. timed_out if others have the turn.
  void drop_kept(Deadline deadline = Deadline::never());

  bool running() const;
  // Of the running Postgres; not_found.
  ComputeAddress address() const;
  std::optional<ComputeProcess> process() const;
  // A number that changes before any client can know that roles have; 0 if there is none.
  uint64_t role_changes() const;
  // `roles` were read after role_changes() was `changes`.
  void note_roles(uint64_t changes, std::shared_ptr<const RoleList> roles);
  // What was noted, if it holds still; else nullptr.
  std::shared_ptr<const RoleList> known_roles() const;
  // Lets it read at a later LSN now and then, and where what it wrote has become much: so that it
  // need not keep that itself. timed_out if others have the turn.
  void advance_reads();
  void rotate_log() const;

 private:
  // What a running compute holds.
  struct Session {
    ComputeSpec spec;
    uint64_t term = 0;
    std::optional<PageToken> token;
    fs::path data;  // In the room, as long as this lasts.
    std::shared_ptr<const Room> room;
    std::string login_secret;  // Of this start; empty if that layer is out.
    int max_connections = 0;
    std::optional<InPlaceAccess> wal;  // If it writes its WAL in place.
    std::unique_ptr<Postmaster> postmaster;
    std::unique_ptr<OutgoingTraffic> outgoing;  // Null: it may make no connections.
    UniqueFd open_manifest;
    steady_clock::time_point reads_since = steady_clock::now();  // At this LSN.
    // Under Compute::mutex_.
    uint64_t roles_as_of = 0;
    std::shared_ptr<const RoleList> roles;

    fs::path manifest() const { return manifest_of(data); }
  };

  static fs::path manifest_of(const fs::path& data) { return data.string() + ".manifest"; }
  static ComputeAddress address_of(const Session& session);
  TermStart begin_term(const ComputeSpec& spec, uint64_t* term);
  // The kept data directory if it is what `end` needs.
  std::optional<fs::path> kept_at(const ComputeSpec& spec, Lsn end) const;
  void boot(Session& session, const TermStart& at, const std::optional<fs::path>& kept,
            StepTimes& times, Deadline deadline);
  void limit(const Session& session) const;
  void open_network(Session& session);
  void wait_for_network(Session& session, Deadline deadline);
  void bring_in(Session& session, const fs::path& kept);
  void give_wal(Session& session) const;
  void bring_out(Session& session);
  void prepare_data(Session& session, const TermStart& at, const std::optional<fs::path>& kept,
                    StepTimes& times, Deadline deadline);
  PageSource page_source(const Session& session) const;
  std::vector<std::string> shim_environment(const Session& session) const;
  std::shared_ptr<Session> current() const;
  std::shared_ptr<Session> take_session();
  // Logs an end that nobody asked for; false if there was none.
  bool report_crash() const;
  // Kills what runs, releases what the session holds, forgets the data directory. Never throws.
  void abandon();
  void release(Session& session);
  void discard_data() { discard_data(services_.folders, folder_); }
  void forget_clean_end();

  void prepare_suspend(bool force, ComputeStopped* stopped, StepTimes& times, Deadline deadline);
  void refuse_if_busy(SqlConnection& connection, Deadline deadline);
  void refuse_if_due(const std::string& due);
  std::optional<int64_t> find_next_job(SqlConnection& connection, bool force, Deadline deadline);
  Lsn stop_and_confirm(Deadline deadline);
  void keep_files(Lsn end, Deadline deadline);
  void put_if_changed(TimelineId timeline, Lsn end, const std::string& path, std::string content);
  void finish_suspend(Lsn end);
  std::string clean_text(const ComputeSpec& spec, Lsn end) const;

  const std::string id_;
  ComputeServices& services_;
  const fs::path folder_;

  const fs::path clean_;
  const fs::path log_;

  Turns turns_;
  // Hashes of the files that storage keeps beside WAL, as far as we know. Whoever has the turn.
  std::map<std::string, size_t> stored_files_;
  AutovacuumWatch autovacuum_;  // Whoever has the turn.
  // Since when a suspend waits for autovacuum to begin. Whoever has the turn.
  std::optional<steady_clock::time_point> vacuum_awaited_since_;

  mutable Mutex mutex_;
  std::shared_ptr<Session> session_ GUARDED_BY(mutex_);  // Null unless running (or crashed).
  Lsn last_end_ GUARDED_BY(mutex_);
};

}  // namespace halogen::compute
