// native_redo.h: the commonest WAL records applied in this process, a hundred times as fast as by a
// redo process, and byte for byte as PostgreSQL 15's redo routines apply them.
//
// What is not known here, or is unusual in any way, is left to Postgres: wrong records are its to
// refuse. RedoTest and tests/regress/test_replay.py compare the two on all records of workloads
// (Mode::compare).
//
// Threads: any.
#pragma once
#include <atomic>
#include <map>
#include <memory>

#include "base/mutex.h"
#include "pageserver/redo/redo.h"
#include "postgres/page.h"
#include "postgres/wal_record.h"

namespace halogen::pageserver {

// Changes `page` as `record`, which ends at `end`, changes the page `key`. False: Postgres has to
// do it, and `page` is not to be used. A page without a base is zeros.
bool apply_natively(const PageKey& key, bool has_base, PageSpan page, Lsn end,
                    const WalRecord& record);

// The parts; `block` is the record's reference to the page. What makes the page from nothing finds
// zeros.
bool apply_heap_natively(PageSpan page, const WalRecord& record, const BlockRef& block);
bool apply_heap2_natively(PageSpan page, const WalRecord& record, const BlockRef& block);
bool apply_btree_natively(PageSpan page, const WalRecord& record, const BlockRef& block);
bool apply_sequence_natively(PageSpan page, const WalRecord& record, const BlockRef& block);

class NativeRedo : public Redo {
 public:
  enum class Mode {
    off,
    on,
    compare,  // Postgres rebuilds each page, too; where the two differ, its page counts, and an
              // error is logged.
  };

  static Mode mode_of(std::string_view name);  // "on", "off" or "compare".

  // `postgres` must outlive it.
  NativeRedo(Redo& postgres, Mode mode) : postgres_(postgres), mode_(mode) {}

  std::string replay(const PageKey& key, std::optional<Bytes> base,
                     std::span<const RedoRecord> records, Deadline deadline) override;
  void expect_work(bool expected) override { postgres_.expect_work(expected); }
  Redo& of(TenantId tenant) override EXCLUDES(mutex_);

  // Records, and pages that differed; in compare mode.
  struct Counts {
    std::atomic<uint64_t> applied = 0;
    std::atomic<uint64_t> left = 0;
    std::atomic<uint64_t> differences = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  std::string compare(const PageKey& key, std::optional<Bytes> base,
                      std::span<const RedoRecord> records, Deadline deadline);

  Redo& postgres_;
  const Mode mode_;
  Counts counts_;
  Mutex mutex_;
  std::map<TenantId, std::unique_ptr<NativeRedo>> tenants_ GUARDED_BY(mutex_);
};

}  // namespace halogen::pageserver
