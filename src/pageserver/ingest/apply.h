// apply.h: what each kind of WAL record does to pages and metadata (PostgreSQL 15's records).
//
// Called with one record at a time, between Change::begin and Change::finish.
#pragma once
#include "pageserver/ingest/change.h"
#include "postgres/wal_record.h"

namespace halogen::pageserver {

// All of it; `end` is the record's end LSN. Errc::corrupt if the record is not what it should be.
void apply_record(Change& change, const WalRecord& record, Lsn end);

// The parts. Files the record under each block it names.
void apply_blocks(Change& change, const WalRecord& record, Lsn end);
// Visibility map bits that heap records clear without naming the map's block.
void apply_heap(Change& change, const WalRecord& record);
void apply_xact(Change& change, const WalRecord& record);
void apply_clog(Change& change, const WalRecord& record);
void apply_multixact(Change& change, const WalRecord& record);
void apply_commit_ts(Change& change, const WalRecord& record);
void apply_origin(Change& change, const WalRecord& record);
void apply_xlog(Change& change, const WalRecord& record);
void apply_standby(Change& change, const WalRecord& record);
void apply_smgr(Change& change, const WalRecord& record);
void apply_dbase(Change& change, const WalRecord& record);
void apply_tblspc(Change& change, const WalRecord& record);
void apply_relmap(Change& change, const WalRecord& record);

// CREATE DATABASE by copying files.
struct DatabaseCopy {
  uint32_t db = 0;
  uint32_t spc = 0;
  uint32_t from_db = 0;
  uint32_t from_spc = 0;
};
// Set if the record is one: its pages must be copied first, before apply_record.
std::optional<DatabaseCopy> database_copy(const WalRecord& record);

}  // namespace halogen::pageserver
