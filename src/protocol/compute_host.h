// compute_host.h: how control starts and stops computes. Implemented by the compute agent.
//
// Calls block; safe from any thread, but one endpoint's calls must come one after another.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/ids.h"
#include "base/lsn.h"

namespace halogen {

struct ComputeSpec {
  std::string endpoint_id;
  TenantId tenant;
  TimelineId timeline;
  uint64_t system_identifier = 0;
  int major = 15;
  std::map<std::string, std::string>
      settings;                   // Over the defaults, e.g. {"max_connections", "100"}.
  bool outgoing_traffic = false;  // It may make connections itself.
  // Its size, in compute units: what it has for sure of the machine, and at most.
  double least_units = 0.25;
  double most_units = 0.25;
};

// Where a running compute takes connections: a unix socket folder, and the secret by which it knows
// the platform (login_secret.h; empty: it asks for none). The proxy has authenticated the client
// before. It is for no log, and for nobody but those who connect.
struct ComputeAddress {
  std::string socket_folder;
  int port = 5432;
  int max_connections = 100;
  uint64_t start = 0;  // Which start of a compute this is; given by control, never twice the same.
  std::string login_secret;
};

struct StoredRole {
  std::string name;
  std::string verifier;  // SCRAM-SHA-256$4096:salt$stored:server, or empty.
  bool can_login = false;
  uint32_t oid = 0;                    // 0: not known.
  std::optional<int64_t> valid_until;  // Microseconds since 1970, UTC.
};

// Roles as a running compute had them at one moment.
struct RoleList {
  std::vector<StoredRole> roles;
  uint64_t epoch = 0;  // Of logins (session_state.h), from before that moment. 0: not known.
};

// One that users may connect to: neither a template nor `postgres`.
struct StoredDatabase {
  std::string name;
  std::string owner;

  bool operator==(const StoredDatabase&) const = default;
};

struct ComputeStopped {
  Lsn end;  // The safekeeper has all WAL up to here.
  // As they were just before the stop; no roles: they could not be read, nor the databases.
  std::vector<StoredRole> roles;
  std::vector<StoredDatabase> databases;
  bool vacuum_due = false;  // Autovacuum has been kept from work that it had.
  // When its next job of pg_cron is due, in microseconds since 1970, UTC; 0: there is none. Not
  // there: not known, so as it was before.
  std::optional<int64_t> next_job;
};

// A compute that runs, for people and tests to look at.
struct ComputeProcess {
  std::string endpoint_id;
  int pid = 0;  // The postmaster's.
  std::string data_directory;
  std::string socket_folder;
  std::string login_secret;
  std::string log_file;
  std::string problem;  // Why its commits wait, for an operator; or empty.
};

// Blocks of tables and indexes that its backends asked for, since its statistics began.
struct BlockUse {
  int64_t hit = 0;   // Found in Postgres' shared buffers.
  int64_t read = 0;  // Read from files: from the machine's memory, its disk or our storage.
};

class ComputeHost {
 public:
  virtual ~ComputeHost() = default;

  // Wakes: new term, skeleton (or the kept data directory if it ends at just the right LSN), READY.
  // If the compute already runs, its address. On failure nothing is left running.
  virtual ComputeAddress start(const ComputeSpec& spec, Deadline deadline) = 0;

  // Suspends: WAL-logs what WAL would miss, stops Postgres cleanly, makes sure the safekeeper has
  // its last byte. conflict, telling what keeps it awake, if clients are at work or autovacuum is
  // or is about to be, and `force` is false. Not running: succeeds.
  virtual ComputeStopped suspend(const std::string& endpoint_id, bool force, Deadline deadline) = 0;
  // Removes the data directory too; for a deleted endpoint, or a test.
  virtual void destroy(const std::string& endpoint_id) = 0;
  virtual bool running(const std::string& endpoint_id) = 0;
  // Throws unavailable, saying what to do, if no compute here can have outgoing traffic.
  virtual void require_outgoing_traffic() {}
  virtual std::vector<ComputeProcess> processes() { return {}; }

  // The roles as the running compute has them now (pg_authid); not_found if it does not run.
  virtual RoleList roles(const std::string& endpoint_id) = 0;
  // The same without asking: nullptr unless it is certain that nothing has changed since roles()
  // was called last. Never blocks for long.
  virtual std::shared_ptr<const RoleList> known_roles(const std::string& /*endpoint_id*/) {
    return nullptr;
  }
  // Likewise its databases, by name.
  virtual std::vector<StoredDatabase> databases(const std::string& endpoint_id) = 0;
  // SQL as the superuser in `database` of a running compute; throws what Postgres answers.
  virtual void execute(const std::string& endpoint_id, const std::string& database,
                       const std::string& sql) = 0;

  // The rows of a query as the superuser; a NULL is an empty text.
  virtual std::vector<std::vector<std::string>> query(const std::string& endpoint_id,
                                                      const std::string& database,
                                                      const std::string& sql) = 0;
  // nullopt: it does not run, or does not answer within two seconds.
  virtual std::optional<BlockUse> block_use(const std::string& /*endpoint_id*/) {
    return std::nullopt;
  }
  // A database's schema as SQL text; the same schema gives the same text. not_found.
  virtual std::string dump_schema(const std::string& endpoint_id, const std::string& database,
                                  Deadline deadline) = 0;

  // Called, from the agent's own thread, when a compute ended without being asked to.
  virtual void on_exit(std::function<void(const std::string& endpoint_id)> callback) = 0;
};

}  // namespace halogen
