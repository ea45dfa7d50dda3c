#include "pageserver/layers/layer_file.h"

#include <gtest/gtest.h>

#include <random>

#include "pageserver/layers/test_support.h"

namespace halogen::pageserver {
namespace {

struct Entry {
  Key key;
  Lsn lsn;
  ValueKind kind;
  std::string bytes;
  bool operator==(const Entry&) const = default;
};

std::vector<Entry> some_entries(uint32_t keys, uint32_t versions) {
  std::mt19937 random(7);
  std::vector<Entry> out;
  for (uint32_t k = 0; k < keys; k++) {
    out.push_back({page_key(k / 50, k % 50), Lsn(100), ValueKind::image,
                   std::string(kPageSize, static_cast<char>('a' + k % 26))});
    for (uint32_t v = 1; v <= versions; v++)
      out.push_back({page_key(k / 50, k % 50), Lsn(100 + v * 10), ValueKind::record,
                     fmt::format("{}-{}-{}", k, v, random())});
  }
  return out;
}

constexpr uint64_t kIdentity = 7;

LayerDesc write_entries(const fs::path& path, const std::vector<Entry>& entries,
                        uint64_t identity = kIdentity) {
  LayerWriter writer(path, identity);
  for (const Entry& e : entries) writer.add({e.key, e.lsn, e.kind, as_bytes(e.bytes)});
  return writer.finish();
}

std::shared_ptr<LayerFile> open_layer(const fs::path& path, const LayerDesc& desc) {
  return std::make_shared<LayerFile>(path, desc, kIdentity, std::make_shared<LayerCache>(1 << 20));
}

std::vector<Entry> read_all(const std::shared_ptr<LayerFile>& file) {
  std::vector<Entry> out;
  for (LayerFile::Cursor cursor(file); cursor.entry(); cursor.next()) {
    const EntryView& e = *cursor.entry();
    out.push_back({e.key, e.lsn, e.kind, std::string(as_text(e.bytes))});
  }
  return out;
}

std::vector<Lsn> walk_lsns(const LayerFile& file, const Key& key, Lsn lsn) {
  std::vector<Lsn> out;
  file.walk(key, lsn, [&](const EntryView& entry) {
    EXPECT_EQ(entry.key, key);
    out.push_back(entry.lsn);
    return !is_base(entry.kind);
  });
  return out;
}

TEST(LayerFile, IndexesAndDescriptorsAreOnlyCache) {
  TempFolder folder;
  auto entries = some_entries(2, 1);
  auto cache = std::make_shared<LayerCache>(1 << 20, 1);
  std::vector<std::unique_ptr<LayerFile>> files;
  for (int i = 0; i < 100; ++i) {
    fs::path path = folder / std::to_string(i);
    files.push_back(
        std::make_unique<LayerFile>(path, write_entries(path, entries), kIdentity, cache));
  }
  size_t one = 0;
  for (int round = 0; round < 2; ++round)
    for (const auto& file : files) {
      EXPECT_FALSE(walk_lsns(*file, entries[0].key, Lsn(1000)).empty());
      if (one == 0) one = cache->opened.bytes();
    }
  EXPECT_LE(cache->opened.bytes(), 16 * one) << "one in each shard";
  files.clear();
  EXPECT_EQ(cache->opened.bytes(), 0u);
}

TEST(LayerFile, HoldsWhatWasWritten) {
  TempFolder folder;
  auto entries = some_entries(300, 20);
  LayerDesc desc = write_entries(folder / "a.layer", entries);
  EXPECT_EQ(desc.entries, entries.size());
  EXPECT_EQ(desc.min_lsn, Lsn(100));
  EXPECT_EQ(desc.max_lsn, Lsn(300));
  EXPECT_EQ(desc.bytes, fs::file_size(folder / "a.layer"));
  EXPECT_LT(desc.bytes, 300 * kPageSize / 2) << "blocks are compressed";
  EXPECT_EQ(read_all(open_layer(folder / "a.layer", desc)), entries);
}

TEST(LayerFile, WalkStartsAtTheNewestAtOrBelowTheLsnAndStopsAtTheBase) {
  TempFolder folder;
  LayerDesc desc = write_entries(folder / "a.layer", some_entries(100, 5));
  auto file = open_layer(folder / "a.layer", desc);
  EXPECT_EQ(walk_lsns(*file, page_key(1, 7), Lsn(125)),
            (std::vector{Lsn(120), Lsn(110), Lsn(100)}));
  EXPECT_EQ(walk_lsns(*file, page_key(1, 7), Lsn(100)), std::vector{Lsn(100)});
  EXPECT_TRUE(walk_lsns(*file, page_key(1, 7), Lsn(99)).empty());
  EXPECT_TRUE(walk_lsns(*file, page_key(1, 77), Lsn(1000)).empty());
}

TEST(LayerFile, AChainMayRunOverManyBlocks) {
  TempFolder folder;
  std::vector<Entry> entries = {{page_key(1, 1), Lsn(5), ValueKind::zero, ""}};
  for (uint64_t v = 1; v <= 5000; v++)
    entries.push_back({page_key(1, 2), Lsn(10 * (v / 2)),
                       v == 1 ? ValueKind::zero : ValueKind::record,
                       std::string(100, static_cast<char>(v))});
  entries.push_back({page_key(1, 3), Lsn(5), ValueKind::zero, ""});
  LayerDesc desc = write_entries(folder / "a.layer", entries);
  auto file = open_layer(folder / "a.layer", desc);
  std::vector<std::string> seen;
  file->walk(page_key(1, 2), Lsn(20000), [&](const EntryView& entry) {
    seen.emplace_back(as_text(entry.bytes));
    return true;
  });
  size_t expected = 0;
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) {
    if (at->key != page_key(1, 2) || at->lsn > Lsn(20000)) continue;
    ASSERT_LT(expected, seen.size());
    EXPECT_EQ(seen[expected++], at->bytes);
  }
  EXPECT_EQ(seen.size(), expected);
}

TEST(LayerFile, AnUnfinishedFileLeavesNothing) {
  TempFolder folder;
  {
    LayerWriter writer(folder / "a.layer", kIdentity);
    writer.add({page_key(1, 1), Lsn(1), ValueKind::zero, {}});
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(LayerFile, ABigValueHasABlockOfItsOwn) {
  TempFolder folder;
  std::string big(3 << 20, 'x');
  for (size_t i = 0; i < big.size(); i += 7) big[i] = static_cast<char>(i * i);
  std::vector<Entry> entries = {{page_key(1, 1), Lsn(1), ValueKind::zero, ""},
                                {page_key(1, 2), Lsn(1), ValueKind::record_init, big},
                                {page_key(1, 3), Lsn(1), ValueKind::zero, ""}};
  LayerDesc desc = write_entries(folder / "a.layer", entries);
  EXPECT_EQ(read_all(open_layer(folder / "a.layer", desc)), entries);
}

// Every byte of a small file, one flipped bit each: corrupt, or (never) something else.
TEST(LayerFile, AFlippedByteIsAnErrorNotWrongData) {
  TempFolder folder;
  auto entries = some_entries(12, 3);
  for (Entry& entry : entries)
    if (entry.bytes.size() > 200) entry.bytes.resize(200);
  LayerDesc desc = write_entries(folder / "good.layer", entries);
  const std::string good = read_file(folder / "good.layer");
  for (size_t at = 0; at < good.size(); at++) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1 << at % 8);
    write_file(folder / "bad.layer", bad);
    EXPECT_EQ(thrown_by([&] { read_all(open_layer(folder / "bad.layer", desc)); }), Errc::corrupt)
        << "byte " << at;
  }
  write_file(folder / "bad.layer", good.substr(0, good.size() - 1));
  EXPECT_EQ(thrown_by([&] { read_all(open_layer(folder / "bad.layer", desc)); }), Errc::corrupt);
  fs::remove(folder / "bad.layer");
  EXPECT_EQ(thrown_by([&] { read_all(open_layer(folder / "bad.layer", desc)); }), Errc::corrupt);
}

// Each is whole and as long as the other: only what it says of itself gives it away.
TEST(LayerFile, AnotherFileUnderItsNameIsNoticed) {
  TempFolder folder;
  const auto entries = some_entries(12, 3);
  LayerDesc desc = write_entries(folder / "other.layer", entries, kIdentity + 1);
  EXPECT_EQ(thrown_by([&] { read_all(open_layer(folder / "other.layer", desc)); }), Errc::corrupt);
  // Written before files had an identity.
  desc = write_entries(folder / "old.layer", entries, 0);
  EXPECT_EQ(read_all(open_layer(folder / "old.layer", desc)), entries);
}

TEST(LayerFile, NoTwoLayersHaveOneIdentity) {
  const TimelineId one = TimelineId::random(), two = TimelineId::random();
  EXPECT_EQ(layer_identity(one, 1), layer_identity(one, 1));
  EXPECT_NE(layer_identity(one, 1), layer_identity(one, 2));
  EXPECT_NE(layer_identity(one, 1), layer_identity(two, 1));
}

TEST(LayerFile, TheKeyFilterMissesNothingAndPassesLittle) {
  std::vector<uint64_t> hashes;
  for (uint32_t i = 0; i < 10000; i++) hashes.push_back(KeyFilter::hash(page_key(1, i)));
  KeyFilter filter = KeyFilter::build(hashes);
  int passed = 0;
  for (uint32_t i = 0; i < 10000; i++) {
    EXPECT_TRUE(filter.may_contain(page_key(1, i)));
    passed += filter.may_contain(page_key(2, i));
  }
  EXPECT_LT(passed, 300);
}

TEST(LayerFile, TheFormatStaysAsItIs) {
  // Written by version 1; a change here means that old files are misread.
  EXPECT_EQ(KeyFilter::hash(page_key(1, 2)),
            KeyFilter::hash(Key{KeyKind::relation_page, 0, 0, 1663, 5, 1, 2}));
  LayerFooter footer;
  footer.index_offset = 16;
  EXPECT_EQ(encode_footer(footer).size(), kLayerFooterSize);
  EXPECT_EQ(encode_footer(footer).substr(0, 8), "HGLAYF01");
}

}  // namespace
}  // namespace halogen::pageserver
