// redo.h: pages rebuilt by stock Postgres' own redo routines, in sandboxed processes.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/ids.h"
#include "base/lsn.h"
#include "protocol/page_key.h"

namespace halogen::pageserver {

struct RedoRecord {
  Lsn end;       // End LSN of the record; redo stamps pages with it.
  Bytes record;  // From XLogRecord's first byte, xl_tot_len bytes.
};

// Threads: replay may be called from any number of threads.
class Redo {
 public:
  virtual ~Redo() = default;

  // The page after `records` (oldest first) are applied to `base` (nullopt: the first record makes
  // the page from nothing). 8192 bytes. Throws corrupt (Postgres refused the records, or
  // crashed on them), timed_out, unavailable (it was killed, or took too long: may be
  // tried again).
  virtual std::string replay(const PageKey& key, std::optional<Bytes> base,
                             std::span<const RedoRecord> records, Deadline deadline) = 0;
  // Whether pages are likely to be wanted soon, as they are at first; else nothing is kept ready.
  virtual void expect_work(bool) {}
  // The same for one tenant's pages: no process sees those of two. Lives as long as this.
  virtual Redo& of(TenantId) { return *this; }
};

}  // namespace halogen::pageserver
