#include <algorithm>

#include "base/error.h"
#include "pageserver/ingest/apply.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

using namespace pg15;

bool precedes(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

std::string version_file(const MajorLayout& major) { return fmt::format("{}\n", major.major); }

// A shutdown checkpoint has everything exact; an online one was begun some time ago, so that only
// what lies ahead of ours is news, and of the next oid nothing.
void checkpoint(Change& change, const WalRecord& record) {
  CheckpointFields now = change.major().decode_checkpoint(record.main_data()).fields;
  CheckpointFields fields = change.head().checkpoint;
  if (record.info() == xlog::kCheckpointShutdown) {
    fields = now;
  } else {
    fields.next_full_xid = std::max(fields.next_full_xid, now.next_full_xid);
    if (precedes(fields.next_multi, now.next_multi)) fields.next_multi = now.next_multi;
    if (precedes(fields.next_multi_offset, now.next_multi_offset))
      fields.next_multi_offset = now.next_multi_offset;
    if (precedes(fields.oldest_xid, now.oldest_xid)) {
      fields.oldest_xid = now.oldest_xid;
      fields.oldest_xid_db = now.oldest_xid_db;
    }
    if (precedes(fields.oldest_multi, now.oldest_multi)) {
      fields.oldest_multi = now.oldest_multi;
      fields.oldest_multi_db = now.oldest_multi_db;
    }
    if (fields.oldest_commit_ts_xid == 0) fields.oldest_commit_ts_xid = now.oldest_commit_ts_xid;
    if (fields.newest_commit_ts_xid == 0) fields.newest_commit_ts_xid = now.newest_commit_ts_xid;
  }
  change.set_commit_ts_active(now.newest_commit_ts_xid != 0);
  change.set_checkpoint(fields);
}

void next_oid(Change& change, Reader in) {
  CheckpointFields fields = change.head().checkpoint;
  fields.next_oid = in.get<uint32_t>();
  change.set_checkpoint(fields);
}

void parameter_change(Change& change, Reader in) {
  in.skip(25);  // Six integers, wal_log_hints.
  change.set_commit_ts_active(in.get<uint8_t>() != 0);
}

void truncate_vm(Change& change, const RelTag& tag, uint32_t heap_blocks) {
  uint32_t pages = change.head().relation_pages(tag).value_or(0);
  uint32_t last = heap_blocks / kHeapBlocksPerVmPage;
  uint32_t in_last = heap_blocks % kHeapBlocksPerVmPage;
  if (in_last == 0) return change.truncate_relation(tag, last);
  if (pages <= last) return;
  Writer op = native_op(NativeOp::vm_truncate);
  op.put(static_cast<uint16_t>(in_last));
  change.put_owned(Key::page({tag, last}), ValueKind::native, op.take());
  change.truncate_relation(tag, last + 1);
}

// Where the bottom-level page number `leaf` of a free space map lies in its file: pages of the
// upper two levels come before the ones below them.
uint32_t fsm_leaf_block(uint32_t leaf) {
  uint32_t block = 0;
  for (int level = 0; level < 3; ++level, leaf /= kFsmSlotsPerPage) block += leaf + 1;
  return block - 1;
}

void truncate_fsm(Change& change, const RelTag& tag, uint32_t heap_blocks) {
  uint32_t pages = change.head().relation_pages(tag).value_or(0);
  uint32_t block = fsm_leaf_block(heap_blocks / kFsmSlotsPerPage);
  uint32_t slot = heap_blocks % kFsmSlotsPerPage;
  if (slot == 0) return change.truncate_relation(tag, block);
  if (pages <= block) return;
  Writer op = native_op(NativeOp::fsm_truncate);
  op.put(static_cast<uint16_t>(slot));
  change.put_owned(Key::page({tag, block}), ValueKind::native, op.take());
  change.truncate_relation(tag, block + 1);
}

void smgr_truncate(Change& change, Reader& in) {
  auto blocks = in.get<uint32_t>();
  auto spc = in.get<uint32_t>();
  auto db = in.get<uint32_t>();
  RelTag tag = RelTag::relation(spc, db, in.get<uint32_t>(), Fork::main);
  auto flags = in.get<uint32_t>();
  change.create_relation(tag);
  if (flags & smgr::kTruncateHeap) change.truncate_relation(tag, blocks);
  if (flags & smgr::kTruncateFsm) truncate_fsm(change, tag.with_fork(Fork::fsm), blocks);
  if (flags & smgr::kTruncateVm) truncate_vm(change, tag.with_fork(Fork::vm), blocks);
}

// The pages are there already: see Ingest::copy_pages.
void finish_copy(Change& change, const DatabaseCopy& copy) {
  std::vector<std::pair<RelTag, uint32_t>> relations;
  const auto& all = change.head().relations();
  for (auto at = all.lower_bound(RelTag::relation(copy.from_spc, copy.from_db, 0, Fork::main));
       at != all.end() && at->first.spc == copy.from_spc && at->first.db == copy.from_db; ++at)
    relations.push_back(*at);
  for (auto [tag, pages] : relations) {
    tag.spc = copy.spc;
    tag.db = copy.db;
    change.set_relation_size(tag, pages);
  }
  change.add_database(copy.spc, copy.db);
  std::string_view folder = change.major().tablespace_folder;
  std::string from = database_folder(folder, copy.from_spc, copy.from_db) + "/";
  std::string to = database_folder(folder, copy.spc, copy.db) + "/";
  std::vector<std::pair<std::string, Head::FileContent>> files;
  const auto& known = change.head().files;
  for (auto at = known.lower_bound(from); at != known.end() && at->first.starts_with(from); ++at)
    files.push_back({to + at->first.substr(from.size()), at->second});
  for (const auto& [path, content] : files) change.set_file(path, *content);
}

}  // namespace

void apply_xlog(Change& change, const WalRecord& record) {
  switch (record.info()) {
    case xlog::kCheckpointShutdown:
    case xlog::kCheckpointOnline:
      return checkpoint(change, record);
    case xlog::kNextOid:
      return next_oid(change, Reader(record.main_data()));
    case xlog::kParameterChange:
      return parameter_change(change, Reader(record.main_data()));
    default:
      return;  // Images, SWITCH and others: no metadata.
  }
}

void apply_standby(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  if (record.info() == standby::kRunningXacts) {
    in.skip(12);  // xcnt, subxcnt, subxid_overflow
    change.advance_xid(in.get<uint32_t>() - 1);
  } else if (record.info() == standby::kInvalidations) {
    in.skip(8);  // dbId, tsId
    if (in.get<uint8_t>() != 0) change.relcache_changed();
  }
}

void apply_smgr(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  if (record.info() == smgr::kTruncate) return smgr_truncate(change, in);
  auto spc = in.get<uint32_t>();
  auto db = in.get<uint32_t>();
  auto rel = in.get<uint32_t>();
  auto fork = in.get<uint32_t>();
  if (fork >= kForks) throw Error(Errc::corrupt, "bad WAL record: fork {}", fork);
  change.create_relation(RelTag::relation(spc, db, rel, static_cast<Fork>(fork)));
}

std::optional<DatabaseCopy> database_copy(const WalRecord& record) {
  if (record.rmgr() != rm::dbase || record.info() != dbase::kCreateFileCopy) return std::nullopt;
  Reader in(record.main_data());
  DatabaseCopy copy;
  copy.db = in.get<uint32_t>();
  copy.spc = in.get<uint32_t>();
  copy.from_db = in.get<uint32_t>();
  copy.from_spc = in.get<uint32_t>();
  return copy;
}

void apply_dbase(Change& change, const WalRecord& record) {
  if (auto copy = database_copy(record)) return finish_copy(change, *copy);
  Reader in(record.main_data());
  auto db = in.get<uint32_t>();
  if (record.info() == dbase::kCreateWalLog) {
    auto spc = in.get<uint32_t>();
    change.add_database(spc, db);
    std::string folder = database_folder(change.major().tablespace_folder, spc, db);
    change.set_file(folder + "/PG_VERSION", version_file(change.major()));
  } else if (record.info() == dbase::kDrop) {
    auto count = in.get<uint32_t>();
    for (Reader spcs(in.take(uint64_t{count} * 4)); !spcs.empty();)
      change.drop_database(spcs.get<uint32_t>(), db);
  }
}

void apply_tblspc(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  auto spc = in.get<uint32_t>();
  if (record.info() == tblspc::kDrop) return change.drop_tablespace(spc);
  change.add_tablespace(spc, std::string(in.cstring()));
}

void apply_relmap(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  auto db = in.get<uint32_t>();
  auto spc = in.get<uint32_t>();
  auto size = in.get<uint32_t>();
  std::string content(as_text(in.take(size)));
  std::string folder =
      database_folder(change.major().tablespace_folder, db == 0 ? kGlobalTablespace : spc, db);
  change.set_file(folder + "/pg_filenode.map", std::move(content));
}

}  // namespace halogen::pageserver
