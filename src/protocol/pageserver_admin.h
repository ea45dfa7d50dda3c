// pageserver_admin.h: what control and compute agents ask of a pageserver.
//
// Every call may block and may throw Error; all are safe from any thread.
#pragma once
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/ids.h"
#include "base/lsn.h"
#include "protocol/page_service.h"
#include "protocol/skeleton.h"

namespace halogen {

struct TimelineInfo {
  TenantId tenant;
  TimelineId timeline;
  std::optional<TimelineId> ancestor;
  Lsn ancestor_lsn;
  Lsn last_record_lsn;          // All WAL up to here can be read.
  Lsn disk_consistent_lsn;      // All WAL up to here is in layer files: safekeepers may trim it.
  uint64_t logical_bytes = 0;   // Sum of the relation sizes at last_record_lsn.
  uint64_t physical_bytes = 0;  // Of its own layer files.
  uint64_t history_bytes =
      0;                      // Of these, about: versions of pages that newer ones have superseded.
  uint64_t shared_bytes = 0;  // Of layer files of ancestors that it stands on.
  Lsn oldest_lsn;             // Where what can be read begins, here or in an ancestor.
};

// Where a branch may begin.
struct Moment {
  // The end of a commit; or the beginning of history, if no commit is before it.
  Lsn lsn;
  std::optional<int64_t> commit_time;  // That commit's: microseconds since 1970, UTC.
};

class PageserverAdmin {
 public:
  virtual ~PageserverAdmin() = default;

  // The timeline that new projects of this Postgres major branch from: imported from the data
  // directory of a cleanly stopped initdb, as images at `lsn`. Done once; not_found from
  // template_timeline until then.
  virtual void import_template(int major, const std::filesystem::path& data_directory, Lsn lsn) = 0;
  virtual TimelineInfo template_timeline(int major) = 0;

  // A branch of `ancestor` as of `lsn` (which the call waits for, if WAL has yet to arrive). Copies
  // nothing. The same call again succeeds; already_exists if the id is taken otherwise. The
  // ancestor may belong to another tenant only if it is a template.
  virtual void create_timeline(TenantId tenant, TimelineId id, TimelineId ancestor, Lsn lsn,
                               Deadline deadline) = 0;
  // Deletes it, damaged or not. conflict while it has children or open sessions, and of a template.
  // Deleting what is not there succeeds.
  virtual void delete_timeline(TimelineId id) = 0;
  virtual TimelineInfo timeline(TimelineId id) = 0;
  // All of them; logical_bytes only where it is known without reading.
  virtual std::vector<TimelineInfo> timelines() = 0;
  // The same of one tenant, at a cost that the others' add next to nothing to.
  virtual std::vector<TimelineInfo> timelines_of(TenantId tenant) = 0;
  // TimelineInfo's, without the work of the rest.
  virtual Lsn disk_consistent_lsn(TimelineId id) { return timeline(id).disk_consistent_lsn; }

  // The last commit that ends at or below `lsn`, in this timeline or, below its branch point, in
  // its ancestors. `gone`, naming where history begins, for an older one; invalid_argument beyond
  // last_record_lsn.
  virtual Moment moment_at(TimelineId id, Lsn lsn) = 0;
  // The last commit before the first one that is later than `time` (microseconds since 1970), among
  // those at or below last_record_lsn. So it has every commit that was acknowledged at `time`, if
  // that WAL has arrived, and none that was begun to be committed after it.
  virtual Moment moment_at_time(TimelineId id, int64_t time) = 0;

  // The tenant's timelines keep history of so much time, and of what branches and computes read;
  // older history may be forgotten from now on. Known until the process ends; without it all is
  // kept.
  virtual void set_history_retention(TenantId tenant, std::chrono::seconds retention) = 0;
  // The oldest that moment_at and moment_at_time give.
  virtual Moment earliest_moment(TimelineId id) = 0;

  // Follow a safekeeper's WAL by the standard replication protocol, from now on and after each
  // restart: a unix socket folder and port as libpq means them. The timeline id is the user name.
  // Again = replace.
  virtual void attach_wal(TimelineId id, const std::string& host, int port) = 0;

  // Waits until last_record_lsn >= lsn; timed_out.
  virtual void wait_for_lsn(TimelineId id, Lsn lsn, Deadline deadline) = 0;
  // lsn must be a record's end.
  virtual Skeleton skeleton(TimelineId id, Lsn lsn, Deadline deadline) = 0;

  // A token for the page service, for the compute of this term: good until close_session, or until
  // a newer term of the timeline opens a session; `fenced` if one has. Reads are served at LSNs >=
  // `lsn`, where the compute's log begins: `corrupt` if WAL beyond it has been read already, so
  // that the safekeeper has lost some, or this folder is of another history.
  virtual PageToken open_session(TimelineId id, uint64_t term, Lsn lsn) = 0;
  // The session reads at what is returned, where all WAL so far is, from now on; where it did
  // before it can for some time yet. not_found for an unknown token.
  virtual Lsn advance_session(const PageToken& token) = 0;
  virtual void close_session(const PageToken& token) = 0;
  virtual std::string page_service_socket() = 0;

  // Keeps a file that WAL does not carry (statistics, pg_internal.init) as of `lsn`, which must be
  // last_record_lsn. Empty content removes it. A crash before the next flush forgets it.
  virtual void put_file(TimelineId id, Lsn lsn, const std::string& path, std::string content) = 0;

  // One page as of an LSN, for tests and tools. 8192 bytes.
  virtual std::string read_page(TimelineId id, const PageKey& key, Lsn lsn, Deadline deadline) = 0;
  // Writes all that is in memory to layer files. timed_out, after which it still goes on.
  virtual void flush(TimelineId id, Deadline deadline) = 0;
};

}  // namespace halogen
