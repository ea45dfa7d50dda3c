// Redo against the truth: a stock server's own pages, rebuilt from its WAL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>
#include <sstream>

#include "base/checksum.h"
#include "pageserver/redo/native_redo.h"
#include "pageserver/redo/redo_pool.h"
#include "pageserver/redo/redo_test_env.h"
#include "pageserver/redo/redo_test_pages.h"
#include "pageserver/redo/redo_test_workload.h"
#include "postgres/stock_cluster.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_record.h"

namespace halogen::pageserver {
namespace {

using testing::Pages;
using testing::TestFolder;

constexpr uint32_t kDatabase = 5;  // "postgres"
constexpr uint32_t kHeapPagesPerVmPage = 32672;

enum Rmgr : uint8_t { kXlog = 0, kSmgr = 2, kHeap2 = 9, kHeap = 10, kSequence = 15 };

// A stock server that finds our library and keeps its hands off tables.
class Server : public halogen::testing::StockCluster {
 public:
  explicit Server(fs::path libraries) : libraries_(std::move(libraries)) {}

  void start() {
    StockCluster::start("-c autovacuum=off -c full_page_writes=off -c shared_buffers=16MB " +
                        fmt::format("-c dynamic_library_path={}", libraries_.string()));
  }
  std::string sql(const std::string& text) {
    std::string out = StockCluster::sql(text);
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
  }

 private:
  fs::path libraries_;
};

// The records that touch each page, in order; a page made anew forgets what was before.
struct History {
  std::deque<std::string> bytes;
  std::map<PageKey, std::vector<RedoRecord>> chains;
  std::set<PageKey> from_nothing;
  std::set<RelTag> truncated;  // Their maps need native help, which is the ingest's to test.
  std::set<uint8_t> rmgrs;
  size_t records = 0;
};

// Where the flags of a heap record are that say "clear the visibility map", and the bits for the
// old and the new page. An empty answer for records without.
struct MapClear {
  uint8_t block;
};
std::vector<MapClear> map_clears(const WalRecord& record) {
  const auto* main = reinterpret_cast<const uint8_t*>(record.main_data().data());
  size_t size = record.main_data().size();
  auto flags = [&](size_t at) { return at < size ? main[at] : uint8_t{0}; };
  uint8_t op = record.info() & 0x70;
  bool two = record.block(1) != nullptr;
  std::vector<MapClear> out;
  if (record.rmgr() == kHeap2) {
    if (op == 0x50 && flags(0) & 1) out.push_back({0});  // MULTI_INSERT
    if (op == 0x60 && flags(7) & 1) out.push_back({0});  // LOCK_UPDATED
    return out;
  }
  if (record.rmgr() != kHeap) return out;
  if (op == 0x00 && flags(2) & 1) out.push_back({0});  // INSERT
  if (op == 0x10 && flags(7) & 1) out.push_back({0});  // DELETE
  if (op == 0x60 && flags(7) & 1) out.push_back({0});  // LOCK
  if (op == 0x20 || op == 0x40) {                      // UPDATE, HOT_UPDATE
    if (flags(7) & 1) out.push_back({static_cast<uint8_t>(two ? 1 : 0)});
    if (flags(7) & 2) out.push_back({0});
  }
  return out;
}

void add(History& history, const PageKey& key, Lsn end, Bytes bytes) {
  auto& chain = history.chains[key];
  if (chain.empty() || chain.back().end != end) chain.push_back({end, bytes});
}

void file_truncate(History& history, const WalRecord& record) {
  Reader in(record.main_data());
  auto block = in.get<uint32_t>();
  RelTag tag = RelTag::relation(in.get<uint32_t>(), 0, 0, Fork::main);
  tag.db = in.get<uint32_t>();
  tag.rel = in.get<uint32_t>();
  history.truncated.insert(tag);
  std::erase_if(history.chains, [&](const auto& entry) {
    return entry.first.tag == tag && entry.first.block >= block;
  });
}

void file_record(History& history, const WalRecordView& view) {
  WalRecord record;
  history.bytes.emplace_back(as_text(view.bytes));
  Bytes bytes = as_bytes(history.bytes.back());
  record.decode(bytes);
  ++history.records;
  for (const BlockRef& block : record.blocks()) {
    history.rmgrs.insert(record.rmgr());
    if (block.makes_page()) {
      history.chains[block.page].clear();
      history.from_nothing.insert(block.page);
    }
    add(history, block.page, view.end, bytes);
  }
  for (MapClear clear : map_clears(record)) {
    PageKey key = record.block(clear.block)->page;
    key.tag.fork = static_cast<uint8_t>(Fork::vm);
    key.block /= kHeapPagesPerVmPage;
    add(history, key, view.end, bytes);
  }
  if (record.rmgr() == kSmgr && record.info() == 0x20) file_truncate(history, record);
}

History read_history(const Server& server, Lsn from, Lsn to) {
  History history;
  WalReader reader(from);
  WalRecordView view;
  std::string wal = server.wal(from, to);
  reader.feed(as_bytes(wal));
  while (reader.next(view)) file_record(history, view);
  return history;
}

// Of each relation file: the resource manager whose mask describes its pages.
std::map<uint32_t, int> read_rmgrs(Server& server) {
  std::istringstream lines(server.sql(
      "SELECT pg_relation_filenode(c.oid), CASE relkind WHEN 'S' THEN 15 ELSE CASE a.amname "
      "WHEN 'heap' THEN 10 WHEN 'btree' THEN 11 WHEN 'hash' THEN 12 WHEN 'gin' THEN 13 "
      "WHEN 'gist' THEN 14 WHEN 'spgist' THEN 16 WHEN 'brin' THEN 17 END END "
      "FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam "
      "WHERE relkind IN ('r','t','m','i','S') AND relpersistence = 'p' "
      "AND pg_relation_filenode(c.oid) IS NOT NULL;"));
  std::map<uint32_t, int> rmgrs;
  for (std::string line; std::getline(lines, line);) {
    auto bar = line.find('|');
    rmgrs[static_cast<uint32_t>(std::stoul(line))] = std::stoi(line.substr(bar + 1));
  }
  return rmgrs;
}

struct Difference {
  PageKey key;
  int rmgr;
  std::string rebuilt;
  std::string expected;
};

// The pages that still differ once the server has masked both.
std::string ask_server(Server& server, const std::vector<Difference>& differences) {
  std::string script =
      "CREATE TEMP TABLE d(k text, blk int8, rmgr int, a bytea, b bytea);\n"
      "COPY d FROM STDIN;\n";
  for (const auto& d : differences)
    script += fmt::format("{}/{} fork {} block {}\t{}\t{}\t\\\\x{}\t\\\\x{}\n", d.key.tag.db,
                          d.key.tag.rel, d.key.tag.fork, d.key.block, d.key.block, d.rmgr,
                          to_hex(as_bytes(d.rebuilt)), to_hex(as_bytes(d.expected)));
  script +=
      "\\.\nSELECT k, rmgr FROM d WHERE halogen.mask_page(a, blk, rmgr) <> "
      "halogen.mask_page(b, blk, rmgr);";
  return server.sql(script);
}

class RedoTruth : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.start();
    server_.sql(read_file(testing::TestFolder::extension_sql()));
    server_.stop();
    before_ = testing::read_all_pages(server_.data(), kDatabase);
    from_ = server_.control().checkpoint_location;
    server_.start();
  }

  // Stops the server and rebuilds every page of `after` that WAL or the start accounts for.
  void rebuild_all() {
    rmgrs_ = read_rmgrs(server_);
    server_.stop();
    after_ = testing::read_all_pages(server_.data(), kDatabase);
    history_ = read_history(server_, from_, server_.control().checkpoint_location);
    RedoPool pool(folder_.pool_options());
    NativeRedo compared(pool, NativeRedo::Mode::compare);
    NativeRedo native(pool, NativeRedo::Mode::on);
    for (const auto& [key, expected] : after_) {
      if (!rmgrs_.contains(key.tag.rel)) continue;  // Unlogged, or pg_internal and the like.
      std::string rebuilt = rebuild(compared, key);
      EXPECT_EQ(rebuild(native, key), rebuilt) << key.tag.rel << " block " << key.block;
      ++compared_;
      if (rebuilt != expected)
        differences_.push_back(
            {key, key.tag.fork == 0 ? rmgrs_[key.tag.rel] : -1, rebuilt, expected});
    }
    EXPECT_EQ(compared.counts().differences, 0u) << "native redo is byte-identical";
    applied_ = compared.counts().applied;
    left_ = compared.counts().left;
  }

  // Main forks that end in pages neither WAL nor the start knows: storage would make them shorter.
  std::vector<std::string> forks_of_unknown_length() const {
    std::map<RelTag, uint32_t> last;
    for (const auto& [key, page] : after_)
      if (key.tag.fork == 0 && rmgrs_.contains(key.tag.rel)) last[key.tag] = key.block;
    std::vector<std::string> unknown;
    for (const auto& [tag, block] : last)
      if (!before_.contains({tag, block}) && !history_.chains.contains({tag, block}))
        unknown.push_back(fmt::format("{} block {}", tag.rel, block));
    return unknown;
  }

  std::string rebuild(Redo& pool, const PageKey& key) {
    std::string base;
    if (auto found = before_.find(key); found != before_.end()) base = found->second;
    auto chain = history_.chains.find(key);
    if (chain == history_.chains.end() || chain->second.empty())
      return base.empty() ? std::string(kPageSize, '\0') : base;
    bool from_nothing =
        history_.from_nothing.contains(key) || base.empty() || base == std::string(kPageSize, '\0');
    ++rebuilt_;
    return pool.replay(key, from_nothing ? std::nullopt : std::optional(as_bytes(base)),
                       chain->second, Deadline::after(std::chrono::seconds(20)));
  }

  // Right differences: the maps of truncated relations, which are the ingest's to cut.
  void drop_known_differences() {
    std::erase_if(differences_, [&](const Difference& d) {
      return d.key.tag.fork != 0 && history_.truncated.contains(d.key.tag.with_fork(Fork::main));
    });
  }

  TestFolder folder_;
  Server server_{folder_.path()};
  Pages before_, after_;
  Lsn from_;
  History history_;
  std::map<uint32_t, int> rmgrs_;
  std::vector<Difference> differences_;
  size_t compared_ = 0, rebuilt_ = 0;
  size_t applied_ = 0, left_ = 0;  // Records, by native redo.
};

TEST_F(RedoTruth, EveryPageOfEveryAccessMethodEqualsTheServers) {
  server_.sql(testing::kWorkload);
  server_.sql("SELECT halogen.prepare_suspend();");
  rebuild_all();
  drop_known_differences();
  fmt::print("{} records, {} pages compared, {} rebuilt, {} differ before masking\n",
             history_.records, compared_, rebuilt_, differences_.size());
  fmt::print("{} records applied natively, {} left to Postgres\n", applied_, left_);
  EXPECT_GT(rebuilt_, 1000u);
  EXPECT_GT(applied_, 50'000u) << "the others are of other access methods";
  // heap2, heap, btree, hash, gin, gist, sequence, spgist, brin, and images.
  EXPECT_EQ(history_.rmgrs, (std::set<uint8_t>{0, 9, 10, 11, 12, 13, 14, 15, 16, 17}));
  for (const auto& d : differences_) {
    EXPECT_NE(d.key.tag.fork, 1) << "prepare_suspend keeps free space maps exact: "
                                 << d.key.tag.rel;
    EXPECT_NE(d.rmgr, kSequence) << "prepare_suspend keeps sequences exact: " << d.key.tag.rel;
  }
  EXPECT_THAT(forks_of_unknown_length(), ::testing::IsEmpty());
  server_.start();
  EXPECT_EQ(ask_server(server_, differences_), "");
}

// A record with a right checksum and wrong bytes, as a hostile compute might write.
std::string forge(std::mt19937& random, Bytes record) {
  std::string bytes(as_text(record));
  for (int i = 0; i < 3; ++i) {
    size_t at = kWalRecordHeaderSize + random() % (bytes.size() - kWalRecordHeaderSize);
    bytes[at] = static_cast<char>(random());
  }
  uint32_t crc = crc32c_extend(crc32c(as_bytes(bytes).subspan(kWalRecordHeaderSize)),
                               as_bytes(bytes).first(kWalRecordHeaderSize - 4));
  store(&bytes[kWalRecordHeaderSize - 4], crc);
  return bytes;
}

TEST_F(RedoTruth, ForgedRecordsHarmNothingButTheirPage) {
  server_.sql(testing::kWorkload);
  rebuild_all();
  auto options = folder_.pool_options();
  RedoPool pool(options);
  options.scratch = folder_.path() / "reference";
  RedoPool reference(options);  // Never sees a forged record.
  std::mt19937 random(1);
  size_t refused = 0, tried = 0;
  Deadline deadline = Deadline::after(std::chrono::minutes(5));
  for (const auto& [key, chain] : history_.chains) {
    if (random() % 20 != 0 || chain.empty() || !history_.from_nothing.contains(key)) continue;
    auto forged = chain;
    RedoRecord& victim = forged[random() % forged.size()];
    std::string bytes = forge(random, victim.record);
    victim.record = as_bytes(bytes);
    ++tried;
    try {
      (void)pool.replay(key, std::nullopt, forged, deadline);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt) << error.what();
      ++refused;
    }
    std::string right = pool.replay(key, std::nullopt, chain, deadline);
    EXPECT_EQ(right, reference.replay(key, std::nullopt, chain, deadline));
  }
  fmt::print("{} of {} forged chains were refused\n", refused, tried);
  EXPECT_GT(tried, 50u);
}

// A session that fails between making a table longer and filling the new page leaves this behind.
// The free space map may name such a page, so that its absence would be an error later.
TEST_F(RedoTruth, TablesKeepTheirLengthWhenTheyEndInEmptyPages) {
  server_.sql(
      "CREATE TABLE w(a text); INSERT INTO w SELECT repeat('x', 1500) FROM "
      "generate_series(1, 40);");
  fs::path file = server_.data() / server_.sql("SELECT pg_relation_filepath('w');");
  server_.stop();
  fs::resize_file(file, fs::file_size(file) + 3 * kPageSize);
  server_.start();
  server_.sql("SELECT halogen.prepare_suspend();");
  rebuild_all();
  EXPECT_THAT(forks_of_unknown_length(), ::testing::IsEmpty());
  EXPECT_EQ(fs::file_size(file), 11 * kPageSize);
}

// The image must not promise values that WAL does not know of.
TEST_F(RedoTruth, ASequenceIsSafeIfThePreparedSuspendDoesNotHappen) {
  server_.sql("CREATE SEQUENCE s; SELECT nextval('s') FROM generate_series(1, 5);");
  server_.sql("SELECT halogen.prepare_suspend();");
  EXPECT_EQ(server_.sql("SELECT last_value, is_called FROM s;"), "5|t");
  EXPECT_EQ(server_.sql("SELECT max(nextval('s')) FROM generate_series(1, 20);"), "25");
  server_.sql("SELECT pg_switch_wal() IS NOT NULL;");
  server_.stop("immediate");
  server_.start();
  EXPECT_GT(std::stoi(server_.sql("SELECT nextval('s');")), 25);
}

TEST_F(RedoTruth, PreparingASuspendWritesLittle) {
  server_.sql("SELECT halogen.prepare_suspend();");
  Lsn before = *Lsn::parse(server_.sql("SELECT pg_current_wal_insert_lsn();"));
  Lsn after = *Lsn::parse(server_.sql("SELECT halogen.prepare_suspend();"));
  // Without the shim every free space map of the catalogs is taken for written.
  int maps =
      std::stoi(server_.sql("SELECT sum(pg_relation_size(oid, 'fsm')) / 8192 FROM pg_class;"));
  EXPECT_GT(maps, 100);
  EXPECT_LT(after - before, static_cast<uint64_t>(maps) * kPageSize / 8);
  EXPECT_EQ(server_.sql("SHOW wal_compression;"), "off");
}

TEST_F(RedoTruth, OnlySuperusersMayPrepareASuspendOrMaskPages) {
  server_.sql(
      "CREATE ROLE plain; GRANT USAGE ON SCHEMA halogen TO plain;"
      "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA halogen TO plain;");
  EXPECT_THROW(server_.sql("SET ROLE plain; SELECT halogen.prepare_suspend();"), Error);
  EXPECT_THROW(server_.sql("SET ROLE plain; SELECT halogen.mask_page('', 0, 10);"), Error);
  EXPECT_THROW(server_.sql("SELECT halogen.mask_page('short', 0, 10);"), Error);
  EXPECT_THROW(server_.sql("SELECT halogen.mask_page(decode(repeat('00', 8192), 'hex'), 0, 99);"),
               Error);
}

}  // namespace
}  // namespace halogen::pageserver
