#include "pageserver/ingest/change.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "pageserver/ingest/apply.h"
#include "pageserver/ingest/file_key.h"
#include "pageserver/ingest/map_store.h"
#include "pageserver/ingest/skeleton.h"
#include "postgres/page.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

const RelTag kTable = RelTag::relation(1663, 5, 16384, Fork::main);

// A WAL record of main data alone.
std::string make_record(uint8_t rmgr, uint8_t info, const Writer& data) {
  Writer out;
  out.put(static_cast<uint32_t>(26 + data.size())).put(uint32_t{0}).put(uint64_t{0});
  out.put(info).put(rmgr).put(uint16_t{0}).put(uint32_t{0});
  out.put(uint8_t{255}).put(static_cast<uint8_t>(data.size())).text(data.view());
  return out.take();
}

class Changes : public ::testing::Test {
 protected:
  template <typename F>
  void at(uint64_t lsn, F&& f) {
    change_.begin(Lsn(lsn));
    f(change_);
    store_.put(Lsn(lsn), change_.finish());
    store_.advance(Lsn(lsn));
  }
  void record(uint64_t lsn, uint8_t rmgr, uint8_t info, const Writer& data) {
    std::string bytes = make_record(rmgr, info, data);
    WalRecord decoded;
    decoded.decode(as_bytes(bytes));
    at(lsn, [&](Change& c) { apply_record(c, decoded, Lsn(lsn)); });
  }
  ValueKind newest(const RelTag& tag, uint32_t block) {
    return store_.collect(Key::page({tag, block}), store_.last_record_lsn()).back().kind;
  }
  std::vector<uint32_t> segments(Slru slru) {
    std::vector<uint32_t> found;
    for (const auto& [id, pages] : head_.slru_segments)
      if (id.first == static_cast<uint8_t>(slru)) found.push_back(id.second);
    return found;
  }

  MapStore store_;
  Head head_;
  Change change_{head_, kMajor15};
};

TEST_F(Changes, NothingOldShinesThroughWhenARelationGrowsAgain) {
  at(8, [](Change& c) {
    c.touch_page({kTable, 3}, true);
    for (uint32_t b = 0; b < 4; ++b) c.put_owned(Key::page({kTable, b}), ValueKind::image, "old");
  });
  at(16, [](Change& c) { c.truncate_relation(kTable, 1); });
  EXPECT_EQ(head_.logical_bytes(), kPageSize);
  at(24, [](Change& c) { c.touch_page({kTable, 2}, false); });
  EXPECT_EQ(head_.relation_pages(kTable), 3u);
  EXPECT_EQ(newest(kTable, 0), ValueKind::image);
  EXPECT_EQ(newest(kTable, 1), ValueKind::zero);
  EXPECT_EQ(newest(kTable, 2), ValueKind::zero);
}

// A forged record asked for 170 GB.
TEST_F(Changes, OneRecordMakesNoMoreThanSoManyPages) {
  at(8, [](Change& c) { c.touch_page({kTable, 1}, true); });
  for (uint32_t block : {(1u << 20) + 2, UINT32_MAX - 1, UINT32_MAX})
    EXPECT_THROW(at(16, [&](Change& c) { c.touch_page({kTable, block}, true); }), Error) << block;
  EXPECT_EQ(head_.relation_pages(kTable), 2u);
  at(24, [](Change& c) { c.touch_page({kTable, (1 << 20) + 1}, true); });
  EXPECT_EQ(head_.relation_pages(kTable), (1u << 20) + 2);
}

TEST_F(Changes, AnUnloggedRelationIsItsInitForkOnly) {
  RelTag other = RelTag::relation(1663, 5, 16385, Fork::main);
  at(8, [&](Change& c) {
    c.create_relation(kTable);
    c.create_relation(kTable.with_fork(Fork::fsm));
    c.set_relation_size(kTable.with_fork(Fork::init), 1);
    c.create_relation(other);
    c.create_relation(other.with_fork(Fork::vm));
  });
  std::vector<RelTag> listed;
  for (const RelSize& rel : build_skeleton(head_, kMajor15).relations) listed.push_back(rel.tag);
  EXPECT_EQ(listed, (std::vector{kTable.with_fork(Fork::init), other, other.with_fork(Fork::vm)}));
}

TEST_F(Changes, ADroppedDatabaseTakesAllOfItsOwnAlong) {
  RelTag other = RelTag::relation(1663, 6, 16384, Fork::main);
  at(8, [&](Change& c) {
    c.add_database(1663, 5);
    c.add_database(1663, 6);
    c.set_relation_size(kTable, 2);
    c.set_relation_size(other, 3);
    c.set_file("base/5/PG_VERSION", "15\n");
    c.set_file("base/51/PG_VERSION", "15\n");
  });
  at(16, [](Change& c) { c.drop_database(1663, 5); });
  Head loaded = Head::load(store_, Lsn(16));
  EXPECT_FALSE(loaded.relation_pages(kTable));
  EXPECT_EQ(loaded.relation_pages(other), 3u);
  EXPECT_EQ(loaded.databases.size(), 1u);
  EXPECT_EQ(loaded.files.size(), 1u);
  EXPECT_TRUE(loaded.files.contains("base/51/PG_VERSION"));
  EXPECT_EQ(Head::load(store_, Lsn(8)).files.size(), 2u) << "history lost";
}

TEST_F(Changes, TransactionIdsGoOnOverTheEndOfAnEpoch) {
  head_.checkpoint.next_full_xid = 0xFFFFFFF0;
  at(8, [](Change& c) { c.advance_xid(0xFFFFFFFF); });
  EXPECT_EQ(head_.checkpoint.next_full_xid, 0x100000003u);
  at(16, [](Change& c) { c.advance_xid(0xFFFFFFF1); });
  EXPECT_EQ(head_.checkpoint.next_full_xid, 0x100000003u) << "went back";
  at(24, [](Change& c) { c.advance_xid(10); });
  EXPECT_EQ(head_.checkpoint.next_full_xid, 0x10000000Bu);
  EXPECT_GE(Head::load(store_, Lsn(24)).checkpoint.next_full_xid, 0x10000000Bu);
}

TEST_F(Changes, ClogTruncationDropsWholeSegmentsBeforeTheCutoff) {
  at(8, [](Change& c) {
    for (uint32_t page : {0, 40, 70, 100}) c.slru_zero_page(Slru::xact, page);
  });
  EXPECT_EQ(segments(Slru::xact), (std::vector<uint32_t>{0, 1, 2, 3}));
  record(16, pg15::rm::clog, pg15::clog::kTruncate,
         Writer().put(int32_t{64}).put(uint32_t{64 * 32768}).put(uint32_t{5}));
  EXPECT_EQ(segments(Slru::xact), (std::vector<uint32_t>{2, 3}));
  EXPECT_EQ(head_.checkpoint.oldest_xid, 64u * 32768);
  EXPECT_EQ(head_.checkpoint.oldest_xid_db, 5u);
}

TEST_F(Changes, MultixactMembersAreTruncatedAroundTheEndOfTheCircle) {
  constexpr uint32_t kPerSegment = pg15::kMultiMembersPerPage * kSlruSegmentPages;
  constexpr uint32_t kLast = UINT32_MAX / kPerSegment;
  at(8, [](Change& c) {
    for (uint32_t segment : {kLast - 1, kLast, 0u, 1u, 2u})
      c.slru_zero_page(Slru::multixact_members, segment * kSlruSegmentPages);
  });
  record(16, pg15::rm::multixact, pg15::multixact::kTruncateId,
         Writer()
             .put(uint32_t{5})
             .put(uint32_t{1})
             .put(uint32_t{1000})
             .put(kLast * kPerSegment)
             .put(kPerSegment + 7));
  EXPECT_EQ(segments(Slru::multixact_members), (std::vector<uint32_t>{1, 2, kLast - 1}));
  EXPECT_EQ(head_.checkpoint.oldest_multi, 1000u);
}

TEST_F(Changes, AMultixactThatEndsItsPageBeginsTheNext) {
  at(8, [](Change& c) { c.slru_zero_page(Slru::multixact_offsets, 0); });
  record(16, pg15::rm::multixact, pg15::multixact::kCreateId,
         Writer()
             .put(uint32_t{2047})
             .put(uint32_t{5000})
             .put(int32_t{2})
             .put(uint32_t{700})
             .put(uint32_t{1})
             .put(uint32_t{701})
             .put(uint32_t{4}));
  Key next = Key::page({RelTag::slru(Slru::multixact_offsets), 1});
  EXPECT_EQ(load<uint32_t>(store_.native_page(next, Lsn(16)).data()), 5002u);
  // WAL of older minor versions clears that page only now: what is on it stays.
  record(24, pg15::rm::multixact, pg15::multixact::kZeroOffsets, Writer().put(int32_t{1}));
  EXPECT_EQ(load<uint32_t>(store_.native_page(next, Lsn(24)).data()), 5002u);
  EXPECT_EQ(head_.checkpoint.next_multi, 2048u);
  EXPECT_EQ(head_.checkpoint.next_full_xid, 702u);
}

TEST_F(Changes, CommitTimestampsEndWhenTheSettingIsTurnedOff) {
  auto parameters = [](bool on) {
    return Writer().text(std::string(24, '\0')).put(uint8_t{0}).put(static_cast<uint8_t>(on));
  };
  head_.checkpoint.next_full_xid = 1000;
  record(8, pg15::rm::xlog, pg15::xlog::kParameterChange, parameters(true).put(uint16_t{0}));
  EXPECT_TRUE(Head::load(store_, Lsn(8)).commit_ts_active);
  at(16, [](Change& c) { c.slru_zero_page(Slru::commit_ts, 1); });
  record(24, pg15::rm::xlog, pg15::xlog::kParameterChange, parameters(false).put(uint16_t{0}));
  EXPECT_FALSE(Head::load(store_, Lsn(24)).commit_ts_active);
  EXPECT_TRUE(segments(Slru::commit_ts).empty());
}

TEST_F(Changes, ReplicationProgressIsKeptAsPostgresKeepsIt) {
  Writer set = Writer().put(uint64_t{0x100}).put(uint16_t{3}).put(uint8_t{0});
  record(8, pg15::rm::replorigin, pg15::replorigin::kSet, set);
  EXPECT_EQ(Head::load(store_, Lsn(8)).origins.at(3), 0x100u);
  record(16, pg15::rm::replorigin, pg15::replorigin::kDrop, Writer().put(uint16_t{3}));
  EXPECT_TRUE(Head::load(store_, Lsn(16)).files.empty());
}

TEST(NativeApply, TruncationClearsOnlyTheTail) {
  std::string page(kPageSize, '\0');
  PageSpan span(page.data(), kPageSize);
  Key key = Key::page({kTable.with_fork(Fork::vm), 0});
  init_page(span);
  std::fill(page.begin() + 24, page.end(), '\xFF');
  Writer op = native_op(NativeOp::vm_truncate);
  op.put(uint16_t{5});
  apply_native(key, span, Lsn(8), as_bytes(op.view()));
  EXPECT_EQ(page.substr(24, 3), std::string("\xFF\x03\0", 3));
  EXPECT_EQ(page.back(), '\0');
  EXPECT_EQ(page_lsn(span), Lsn(0));
}

TEST(NativeApply, FreeSpaceMapTruncationRebuildsTheTree) {
  std::string page(kPageSize, '\0');
  PageSpan span(page.data(), kPageSize);
  init_page(span);
  auto* nodes = reinterpret_cast<uint8_t*>(page.data()) + pg15::kFsmTreeOffset;
  auto set = [&](uint32_t slot, uint8_t value) {
    uint32_t n = pg15::kFsmInnerNodes + slot;
    nodes[n] = value;
    while (n > 0) nodes[n = (n - 1) / 2] = std::max(nodes[n], value);
  };
  set(1, 10);
  std::string expected = page;
  set(2, 20);
  set(4068, 30);
  Writer op = native_op(NativeOp::fsm_truncate);
  op.put(uint16_t{2});
  apply_native(Key::page({kTable.with_fork(Fork::fsm), 2}), span, Lsn(8), as_bytes(op.view()));
  EXPECT_TRUE(page == expected);
}

TEST(NativeApply, RefusesWhatIsOutOfBounds) {
  std::string page(kPageSize, '\0');
  PageSpan span(page.data(), kPageSize);
  Key clog = Key::page({RelTag::slru(Slru::xact), 0});
  auto apply = [&](const Writer& op) { apply_native(clog, span, Lsn(8), as_bytes(op.view())); };
  EXPECT_THROW(apply(Writer()), Error);
  EXPECT_THROW(apply(native_op(NativeOp::vm_init)), Error);
  EXPECT_THROW(apply(native_op(NativeOp::clog).put(uint8_t{1}).put(uint16_t{32768})), Error);
  EXPECT_THROW(apply(native_op(NativeOp::clog).put(uint8_t{1}).put(uint8_t{1})), Error);
  EXPECT_NO_THROW(apply(native_op(NativeOp::clog).put(uint8_t{1}).put(uint16_t{32767})));
  EXPECT_EQ(page.back(), '\x40');
}

TEST(FileKey, NamesAndContentsAreReadBack) {
  StoredFile file = decode_file(encode_file("pg_stat/pgstat.stat", std::string("a\0b", 3)));
  EXPECT_EQ(file.path, "pg_stat/pgstat.stat");
  EXPECT_EQ(file.content, std::string("a\0b", 3));
  EXPECT_NE(file_key("base/1/PG_VERSION"), file_key("base/2/PG_VERSION"));
  EXPECT_THROW(decode_file("\xFF\xFFshort"), Error);
}

}  // namespace
}  // namespace halogen::pageserver
