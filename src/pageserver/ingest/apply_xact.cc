#include "base/checksum.h"
#include "base/error.h"
#include "pageserver/ingest/apply.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

using namespace pg15;

constexpr uint8_t kCommitted = 1;
constexpr uint8_t kAborted = 2;
constexpr uint32_t kRelationSize = 12;  // RelFileNode

// A commit or abort record, taken apart.
struct Ending {
  bool commit = false;
  bool prepared = false;
  int64_t time = 0;
  uint32_t xinfo = 0;
  std::vector<uint32_t> xids;  // The transaction's own, then its subtransactions'.
  Bytes dropped;               // RelFileNodes
  uint64_t origin_lsn = 0;
  int64_t origin_time = 0;
};

// A counted array: i32 count, then the items.
Bytes take_array(Reader& in, uint32_t item_size) {
  auto count = in.get<uint32_t>();
  return in.take(uint64_t{count} * item_size);
}

Ending parse_ending(const WalRecord& record) {
  uint8_t op = record.info() & xact::kOpMask;
  Ending e;
  e.commit = op == xact::kCommit || op == xact::kCommitPrepared;
  e.prepared = op == xact::kCommitPrepared || op == xact::kAbortPrepared;
  Reader in(record.main_data());
  e.time = in.get<int64_t>();
  if (record.info() & xact::kHasInfo) e.xinfo = in.get<uint32_t>();
  if (e.xinfo & xact::kHasDbInfo) in.skip(8);
  Bytes subxacts;
  if (e.xinfo & xact::kHasSubxacts) subxacts = take_array(in, 4);
  if (e.xinfo & xact::kHasRelfilenodes) e.dropped = take_array(in, kRelationSize);
  if (e.xinfo & xact::kHasDroppedStats) take_array(in, xact::kStatsItemSize);
  if (e.xinfo & xact::kHasInvals) take_array(in, xact::kInvalMessageSize);
  uint32_t xid = record.xid();
  if (e.xinfo & xact::kHasTwophase) {
    xid = in.get<uint32_t>();
    if (e.xinfo & xact::kHasGid) in.cstring();
  }
  if (e.xinfo & xact::kHasOrigin) {
    e.origin_lsn = in.get<uint64_t>();
    e.origin_time = in.get<int64_t>();
  }
  e.xids.push_back(xid);
  for (Reader sub(subxacts); !sub.empty();) e.xids.push_back(sub.get<uint32_t>());
  return e;
}

// One operation per SLRU page for entries of many transactions.
template <typename MakeOp>
void change_xids(Change& change, Slru slru, uint32_t per_page, const std::vector<uint32_t>& xids,
                 MakeOp make_op) {
  for (size_t i = 0; i < xids.size();) {
    uint32_t page = xids[i] / per_page;
    Writer op = make_op();
    for (; i < xids.size() && xids[i] / per_page == page; ++i)
      op.put(static_cast<uint16_t>(xids[i] % per_page));
    change.slru_change(slru, page, op.take());
  }
}

void set_commit_ts(Change& change, const Ending& e, uint16_t origin) {
  int64_t time = e.xinfo & xact::kHasOrigin ? e.origin_time : e.time;
  change_xids(change, Slru::commit_ts, kCommitTsPerPage, e.xids, [&] {
    Writer op = native_op(NativeOp::commit_ts);
    op.put(time).put(origin);
    return op;
  });
  change.advance_commit_ts(e.xids.back());
}

std::string twophase_path(uint32_t xid) { return fmt::format("pg_twophase/{:08X}", xid); }

void end_transaction(Change& change, const WalRecord& record) {
  Ending e = parse_ending(record);
  for (uint32_t xid : e.xids) change.advance_xid(xid);
  if (e.xids.front() >= kFirstNormalXid) {
    change_xids(change, Slru::xact, kClogXactsPerPage, e.xids, [&] {
      Writer op = native_op(NativeOp::clog);
      op.put(e.commit ? kCommitted : kAborted);
      return op;
    });
    if (e.commit && change.head().commit_ts_active) set_commit_ts(change, e, record.origin());
  }
  for (Reader in(e.dropped); !in.empty();) {
    auto spc = in.get<uint32_t>();
    auto db = in.get<uint32_t>();
    change.drop_relation(spc, db, in.get<uint32_t>());
  }
  if (e.prepared) change.remove_file(twophase_path(e.xids.front()));
  if (record.origin() != 0 && (e.xinfo & xact::kHasOrigin)) {
    auto known = change.head().origins.find(record.origin());
    if (known == change.head().origins.end() || known->second < e.origin_lsn)
      change.set_origin(record.origin(), e.origin_lsn);
  }
  if (!e.commit) return;
  change.committed_at(e.time);
  if (e.xinfo & xact::kUpdateRelcacheFile) change.relcache_changed();
}

// What the file pg_twophase/<xid> would hold, had a checkpoint written it.
void prepare(Change& change, const WalRecord& record) {
  Bytes data = record.main_data();
  Reader in(data);
  in.skip(8);  // magic, total_len
  auto xid = in.get<uint32_t>();
  change.advance_xid(xid);
  std::string content(as_text(data));
  uint32_t crc = crc32c(data);
  content.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  change.set_file(twophase_path(xid), std::move(content));
}

void assignment(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  change.advance_xid(in.get<uint32_t>());
  for (Reader sub(take_array(in, 4)); !sub.empty();) change.advance_xid(sub.get<uint32_t>());
}

// Members [offset, offset + n) of a new multixact, an operation per page.
void set_members(Change& change, uint32_t offset, Reader& members) {
  while (!members.empty()) {
    uint32_t page = offset / kMultiMembersPerPage;
    Writer op = native_op(NativeOp::multi_member);
    for (; !members.empty() && offset / kMultiMembersPerPage == page; ++offset) {
      auto xid = members.get<uint32_t>();
      auto status = members.get<uint32_t>();
      change.advance_xid(xid);
      op.put(static_cast<uint16_t>(offset % kMultiMembersPerPage));
      op.put(xid).put(static_cast<uint8_t>(status));
    }
    change.slru_change(Slru::multixact_members, page, op.take());
  }
}

void set_offset(Change& change, uint32_t multi, uint32_t offset) {
  Writer op = native_op(NativeOp::multi_offset);
  op.put(static_cast<uint16_t>(multi % kMultiOffsetsPerPage)).put(offset);
  change.slru_change(Slru::multixact_offsets, multi / kMultiOffsetsPerPage, op.take());
}

void create_multi(Change& change, Reader& in) {
  auto multi = in.get<uint32_t>();
  auto offset = in.get<uint32_t>();
  auto count = in.get<uint32_t>();
  Reader members(in.take(uint64_t{count} * 8));
  set_offset(change, multi, offset);
  // The next one's start is written too, maybe on a page that is only now begun.
  uint32_t next = multi + 1 == 0 ? 1 : multi + 1;
  uint32_t next_offset = offset + count == 0 ? 1 : offset + count;
  set_offset(change, next, next_offset);
  set_members(change, offset, members);
  change.advance_multi(multi + 1, offset + count);
}

void truncate_multi(Change& change, Reader& in) {
  auto oldest_db = in.get<uint32_t>();
  in.skip(4);  // startTruncOff
  auto oldest = in.get<uint32_t>();
  auto first_member = in.get<uint32_t>();
  auto end_member = in.get<uint32_t>();
  constexpr uint32_t kPerSegment = kMultiMembersPerPage * kSlruSegmentPages;
  constexpr uint32_t kLastSegment = UINT32_MAX / kPerSegment;
  for (uint32_t s = first_member / kPerSegment; s != end_member / kPerSegment;
       s = s == kLastSegment ? 0 : s + 1)
    change.slru_drop_segment(Slru::multixact_members, s);
  uint32_t before = oldest <= 1 ? UINT32_MAX : oldest - 1;
  change.slru_truncate(Slru::multixact_offsets, before / kMultiOffsetsPerPage,
                       kMultiOffsetsPerPage);
  CheckpointFields fields = change.head().checkpoint;
  fields.oldest_multi = oldest;
  fields.oldest_multi_db = oldest_db;
  change.set_checkpoint(fields);
}

}  // namespace

void apply_xact(Change& change, const WalRecord& record) {
  switch (record.info() & xact::kOpMask) {
    case xact::kCommit:
    case xact::kCommitPrepared:
    case xact::kAbort:
    case xact::kAbortPrepared:
      return end_transaction(change, record);
    case xact::kPrepare:
      return prepare(change, record);
    case xact::kAssignment:
      return assignment(change, record);
    default:
      return;  // Invalidations: for logical decoding.
  }
}

void apply_clog(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  auto page = in.get<uint32_t>();
  if (record.info() == clog::kZeroPage) return change.slru_zero_page(Slru::xact, page);
  CheckpointFields fields = change.head().checkpoint;
  fields.oldest_xid = in.get<uint32_t>();
  fields.oldest_xid_db = in.get<uint32_t>();
  change.set_checkpoint(fields);
  change.slru_truncate(Slru::xact, page, kClogXactsPerPage);
}

void apply_multixact(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  switch (record.info()) {
    case multixact::kZeroOffsets: {
      // create_multi may have begun the page before, in WAL of older minor versions.
      auto page = in.get<uint32_t>();
      if (!change.slru_has_page(Slru::multixact_offsets, page))
        change.slru_zero_page(Slru::multixact_offsets, page);
      return;
    }
    case multixact::kZeroMembers:
      return change.slru_zero_page(Slru::multixact_members, in.get<uint32_t>());
    case multixact::kCreateId:
      return create_multi(change, in);
    case multixact::kTruncateId:
      return truncate_multi(change, in);
    default:
      throw Error(Errc::corrupt, "bad WAL record: MultiXact {:02X}", record.info());
  }
}

void apply_commit_ts(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  auto page = in.get<uint32_t>();
  if (record.info() == commit_ts::kZeroPage) {
    change.set_commit_ts_active(true);
    return change.slru_zero_page(Slru::commit_ts, page);
  }
  CheckpointFields fields = change.head().checkpoint;
  fields.oldest_commit_ts_xid = in.get<uint32_t>();
  change.set_checkpoint(fields);
  change.slru_truncate(Slru::commit_ts, page, kCommitTsPerPage);
}

void apply_origin(Change& change, const WalRecord& record) {
  Reader in(record.main_data());
  if (record.info() == replorigin::kDrop) return change.drop_origin(in.get<uint16_t>());
  auto remote_lsn = in.get<uint64_t>();
  auto origin = in.get<uint16_t>();
  bool force = in.get<uint8_t>() != 0;
  auto known = change.head().origins.find(origin);
  if (force || known == change.head().origins.end() || known->second < remote_lsn)
    change.set_origin(origin, remote_lsn);
}

}  // namespace halogen::pageserver
