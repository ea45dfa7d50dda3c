// safekeeper_admin.h: what control and compute agents ask of a safekeeper.
//
// A safekeeper keeps each timeline's WAL durably and lets one compute at a time, that of the
// highest term, add to it. Every call may block and may throw Error; all are safe from any thread.
#pragma once
#include <string>

#include "base/deadline.h"
#include "base/error.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/lsn.h"
#include "base/token.h"

namespace halogen {

// Where a new term's compute goes on.
struct TermStart {
  Lsn end;                // End of the last complete record; all WAL after it has been cut off.
  Lsn prev_record;        // Start of that record (0 if the timeline has none yet), for xl_prev.
  std::string page_head;  // The bytes of WAL from the start of `end`'s 8 KiB page up to `end`.
};

struct WalStatus {
  uint64_t term = 0;
  Lsn start;              // The oldest WAL kept.
  Lsn flush;              // All below is on disk.
  std::string problem{};  // Why the compute's WAL does not come, so that commits wait; or empty.
  std::string damage{};   // What is damaged, for people; begin_term is refused then. Or empty.
};

// A compute that WAL is pulled from.
struct WalSource {
  std::string host;  // A unix socket folder.
  int port = 5432;
  std::string user;
  std::string application_name;  // Of the standby that we are to it.
  std::string login_secret;      // login_secret.h.
};

// How a compute's WAL comes to its safekeeper.
enum class WalPath {
  in_place,  // Postgres writes and syncs the safekeeper's own segments, on one machine.
  pull,      // The safekeeper is a synchronous standby.
};

// What a compute that writes in place has to be given.
struct InPlaceAccess {
  UniqueFd page;  // An InPlaceWal; nobody can change its size.
  UniqueFd news;  // The safekeeper's eventfd.
};

// Who reads WAL here.
enum class WalConsumer {
  pageserver,
  tool,  // pg_receivewal and the like, run by an operator.
};

class SafekeeperAdmin {
 public:
  virtual ~SafekeeperAdmin() = default;

  // A timeline whose WAL begins at `start`. The same call again succeeds; already_exists if it
  // differs.
  virtual void create_timeline(TimelineId id, Lsn start, uint64_t system_identifier) = 0;
  // Deletes it, damaged or not. Deleting what is not there succeeds.
  virtual void delete_timeline(TimelineId id) = 0;

  // From now on nothing of an older term is accepted. `corrupt`, and nothing is cut, if WAL that
  // was acknowledged is damaged (WalStatus::damage). `fenced` unless `term` is higher than every
  // one before; status() tells the current one. Durable when it returns.
  virtual TermStart begin_term(TimelineId id, uint64_t term) = 0;
  // Pulls WAL from the compute of this term. Returns at once; reconnects until the term is over or
  // stop_pull.
  virtual void pull(TimelineId id, uint64_t term, const WalSource& source) = 0;
  // The compute of this term writes the segments itself, which get names in `folder` (its pg_wal)
  // as they are made: first those from the last record on. Where the log ends there is room for a
  // page at least when it returns. Lasts until the term is over or stop_pull.
  virtual InPlaceAccess write_in_place(TimelineId, uint64_t term, UniqueFd folder) {
    (void)term, (void)folder;
    throw Error(Errc::unavailable, "this safekeeper cannot be written to in place");
  }
  // Keeps what has arrived and disconnects. Of a compute that writes in place: requires that it has
  // ended.
  virtual void stop_pull(TimelineId id, uint64_t term) = 0;

  virtual WalStatus status(TimelineId id) = 0;
  // Returns an LSN at or behind every commit that was acknowledged before the call; all below is on
  // disk here. status() may be behind a compute that writes in place, by some milliseconds.
  virtual Lsn catch_up(TimelineId id) { return status(id).flush; }
  virtual void wait_for_flush(TimelineId id, Lsn lsn, Deadline deadline) = 0;
  // WAL below `lsn` is in storage: segments wholly below it may go.
  virtual void trim(TimelineId id, Lsn lsn) = 0;

  // Where WAL is streamed from by the standard replication protocol (unix socket folder, port). The
  // user name is the timeline id in hex, the password a token's text.
  virtual std::string wal_host() = 0;
  virtual int wal_port() = 0;
  // Lets a reader of this kind open connections for this timeline: a pageserver one, within half a
  // minute; a tool any number, within an hour. Connections outlive their token. Tokens do not
  // outlive this process, nor the timeline. not_found.
  virtual Token grant_wal(TimelineId id, WalConsumer consumer) = 0;
};

}  // namespace halogen
