// agent.h: runs this machine's computes: wakes, suspends and supervises them.
//
// Lives shorter than the pageserver and the safekeeper it is given. Its destructor suspends what
// runs, so that the next start finds warm data directories. Safe from any thread.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "compute/agent/compute.h"
#include "compute/agent/template.h"
#include "protocol/isolation.h"

namespace halogen::compute {

class SqlConnection;

class ComputeAgent : public ComputeHost {
 public:
  struct Options {
    fs::path home;       // Data directories and logs.
    fs::path run;        // Sockets; at most 72 bytes long, ours alone: what is in it is removed.
    fs::path libraries;  // Of libhalogen_shim.so, halogen.so and halogen.sql.
    Warden* warden = nullptr;  // Null: computes have no rooms. Else its rooms() are rooms_in(home).
    PageserverAdmin& pageserver;
    SafekeeperAdmin& safekeeper;
    WalPath wal = WalPath::in_place;  // How WAL comes there; counts from a compute's next start on.
    IsolationLayers layers{};         // Those that are out count from a compute's next start on.
    // How much of its tables and indexes a running compute keeps on the disk. 0: an eighth of what
    // is free when it starts, but at least 256 MiB.
    uint64_t cache_bytes = 0;
    // About so often a running compute begins to read at a later LSN, so that storage need not keep
    // history for where it booted.
    std::chrono::milliseconds reads_move_on{std::chrono::minutes(10)};
    size_t keep_suspended = 64;  // Data directories of suspended computes; more are deleted.
    size_t ready_folders = 4;    // Empty data directories made ahead.
    std::chrono::seconds stop_deadline{30};
    std::chrono::seconds sql_deadline{60};
  };

  static fs::path rooms_in(const fs::path& home) { return home / ".rooms"; }

  // Kills what a killed agent has left running in `home`; computes of `warden` are ours. To be done
  // before anybody looks at the WAL, which those write in place.
  static void end_leftovers(const fs::path& home, const Warden* warden);

  // Ends what was left there, too. permission_denied if we are root, conflict if another agent has
  // this home.
  explicit ComputeAgent(Options options);
  ~ComputeAgent() override;

  ComputeAddress start(const ComputeSpec& spec, Deadline deadline) override;
  ComputeStopped suspend(const std::string& endpoint_id, bool force, Deadline deadline) override;
  void destroy(const std::string& endpoint_id) override;
  bool running(const std::string& endpoint_id) override;
  void require_outgoing_traffic() override;
  std::vector<ComputeProcess> processes() override;
  RoleList roles(const std::string& endpoint_id) override;
  std::shared_ptr<const RoleList> known_roles(const std::string& endpoint_id) override;
  std::vector<StoredDatabase> databases(const std::string& endpoint_id) override;
  void execute(const std::string& endpoint_id, const std::string& database,
               const std::string& sql) override;
  std::optional<BlockUse> block_use(const std::string& endpoint_id) override;
  std::vector<std::vector<std::string>> query(const std::string& endpoint_id,
                                              const std::string& database,
                                              const std::string& sql) override;
  std::string dump_schema(const std::string& endpoint_id, const std::string& database,
                          Deadline deadline) override;
  // The callback may call us back, but delays other computes' callbacks while it runs.
  void on_exit(std::function<void(const std::string& endpoint_id)> callback) override;

  // Deletes the data directory of the compute that has been suspended for longest, if one is kept:
  // it wakes without what it had read.
  void drop_one_kept();

  // The cluster that new projects branch from, for PageserverAdmin::import_template.
  TemplateCluster build_template(int major);

  // Where the endpoint's Postgres writes its log.
  fs::path log_file(const std::string& endpoint_id) const;

 private:
  std::shared_ptr<Compute> find(const std::string& endpoint_id);  // Or null.
  std::shared_ptr<Compute> find_or_make(const std::string& endpoint_id);
  std::vector<std::shared_ptr<Compute>> all();
  void handle_end(const std::string& endpoint_id);
  std::vector<fs::path> endpoint_folders() const;
  void discard_leftovers();
  // Of suspended computes, whose data directories are kept; the longest so first.
  std::vector<std::string> kept() const;
  void advance_reads();
  void limit_kept();
  void stop_all();
  // A connection that roles() keeps for its next call. Null: none.
  struct RoleConnection {
    std::unique_ptr<SqlConnection> sql;
    steady_clock::time_point used;
  };
  std::unique_ptr<SqlConnection> take_role_connection(const std::string& endpoint_id);
  void keep_role_connection(const std::string& endpoint_id, std::unique_ptr<SqlConnection> sql);
  void drop_unused_role_connections();

  Options options_;
  UniqueFd lock_;
  std::unique_ptr<Supervisor> supervisor_ = std::make_unique<Supervisor>();
  std::unique_ptr<FolderPool> folders_;
  std::unique_ptr<SparePostmasters> spares_;
  std::unique_ptr<ComputeServices> services_;

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Compute>> computes_ GUARDED_BY(mutex_);
  std::map<std::string, RoleConnection> role_connections_ GUARDED_BY(mutex_);
  std::function<void(const std::string&)> exit_callback_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  // Last: their jobs use all of the above.
  std::unique_ptr<Worker> events_;
  std::unique_ptr<Worker> reads_;  // Compute::advance_reads.
};

}  // namespace halogen::compute
