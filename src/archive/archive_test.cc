#include "archive/archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "archive/archive_reader.h"
#include "archive/lease.h"
#include "archive/page_archiver.h"
#include "archive/secrets.h"
#include "archive/wal_archiver.h"
#include "base/error.h"
#include "base/file.h"
#include "objectstore/local_store.h"

namespace halogen::archive {
namespace {

using objectstore::Content;
using ::testing::ElementsAre;

constexpr uint64_t kSegment = 16 << 20;

Errc code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return Errc::internal;
}

// A store that fails from the n-th put or remove on, as if the process had been killed there.
class DyingStore : public objectstore::LocalStore {
 public:
  explicit DyingStore(const fs::path& folder) : LocalStore(folder) {}
  int left = INT32_MAX;

  void put(const std::string& key, const Content& content) override {
    step();
    LocalStore::put(key, content);
  }
  void remove(const std::string& key) override {
    step();
    LocalStore::remove(key);
  }

 private:
  void step() {
    if (left-- <= 0) throw Error(Errc::unavailable, "killed");
  }
};

// WAL of one timeline, whose byte at an LSN is known.
class FakeWal : public ArchivedWal {
 public:
  StoredWal wal{.system_identifier = 7,
                .start = Lsn(kSegment + 40),
                .oldest = Lsn(kSegment + 40),
                .flushed = Lsn(kSegment + 40),
                .term = 1};
  bool is_there = true;
  uint8_t flavor = 0;  // Of what is written from `changed` on.
  Lsn changed{~uint64_t{0}};

  std::vector<TimelineId> wal_timelines() override { return {}; }
  StoredWal stored_wal(TimelineId) override {
    if (!is_there) throw Error(Errc::not_found, "there is no such timeline");
    return wal;
  }
  std::string read_wal(TimelineId, Lsn from, Lsn to) override {
    EXPECT_GE(from, wal.oldest);
    EXPECT_LE(to, wal.flushed);
    std::string out;
    for (Lsn at = from; at < to; at = at + 1) out += byte_at(at);
    return out;
  }
  char byte_at(Lsn at) const {
    return static_cast<char>(at.value * 31 + (at >= changed ? flavor : 0));
  }
};

// Layer files of one timeline and its manifest.
class FakePages : public ArchivedPages {
 public:
  explicit FakePages(fs::path folder) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
  }
  std::map<TimelineId, StoredTimeline> timelines;
  bool being_written = false;

  void set_layers(TimelineId id, const std::vector<uint64_t>& layers, Lsn consistent) {
    StoredTimeline& timeline = timelines[id];
    timeline.disk_consistent_lsn = consistent;
    timeline.layers.clear();
    timeline.manifest = "manifest at " + consistent.str();
    for (uint64_t layer : layers) {
      const fs::path file = folder_ / std::to_string(layer);
      write_file(file, "layer " + std::to_string(layer));
      timeline.layers.push_back({layer, fs::file_size(file), file});
      timeline.manifest += fmt::format(" {}", layer);
    }
  }
  std::vector<TimelineId> stored_timelines() override {
    std::vector<TimelineId> ids;
    for (const auto& [id, timeline] : timelines) ids.push_back(id);
    return ids;
  }
  std::optional<StoredTimeline> stored(TimelineId id) override {
    if (being_written) return std::nullopt;
    return timelines.at(id);
  }

 private:
  const fs::path folder_;
};

class ArchiveTest : public ::testing::Test {
 protected:
  ArchiveTest()
      : folder_(fs::temp_directory_path() / ("archive-" + random_name(8))),
        store_((fs::create_directories(folder_), folder_ / "objects")),
        pages_(folder_ / "layers"),
        lease_(Lease::take(store_, "home", false)) {}
  ~ArchiveTest() override { fs::remove_all(folder_); }

  // What a reader makes of the WAL that is there.
  std::string wal_back(Lsn* begin = nullptr) {
    ArchiveReader reader(store_);
    std::string out;
    std::vector<PieceKey> pieces;
    for (const auto& object : store_.list("timelines/"))
      if (auto key = parse_timeline_key(object.key))
        if (const auto* piece = std::get_if<PieceKey>(&key->what)) pieces.push_back(*piece);
    const auto chain = chain_of(pieces);
    if (begin && !chain.empty()) *begin = chain.front().key.from;
    for (const ChainLink& link : chain)
      out += reader.wal_piece(id_, link.key).wal.substr(0, link.to - link.key.from);
    return out;
  }
  std::string wal_here(Lsn from) { return wal_.read_wal(id_, from, wal_.wal.flushed); }

  PageArchiver page_archiver(WalArchiver& wal, int grace_ms = 0) {
    return PageArchiver({store_, pages_, wal, lease_, std::chrono::milliseconds(grace_ms)});
  }
  std::vector<std::string> layers_there() {
    std::vector<std::string> keys;
    for (const auto& object : store_.list("timelines/"))
      if (object.key.find("/layers/") != std::string::npos)
        keys.push_back(object.key.substr(object.key.rfind('/') + 1, 16));
    return keys;
  }
  static std::string layer_name(uint64_t id) { return fmt::format("{:016x}", id); }

  const TimelineId id_ = TimelineId::random();
  const fs::path folder_;
  DyingStore store_;
  FakeWal wal_;
  FakePages pages_;
  const Lease lease_;
};

TEST(Keys, AreReadAsTheyAreMade) {
  const TimelineId id = TimelineId::random();
  const PieceKey piece{3, 0x1234, 9, Lsn(0x100), Lsn(0x200)};
  auto found = parse_timeline_key(key_of(id, piece));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->timeline, id);
  EXPECT_EQ(std::get<PieceKey>(found->what), piece);
  EXPECT_EQ(std::get<LayerKey>(parse_timeline_key(key_of(id, LayerKey{5, 6}))->what),
            (LayerKey{5, 6}));
  EXPECT_EQ(std::get<ManifestKey>(parse_timeline_key(key_of(id, ManifestKey{7}))->what).generation,
            7u);
  for (const char* key : {"", "timelines/", "timelines/xyz/manifest-00000001", "other/1"})
    EXPECT_FALSE(parse_timeline_key(key)) << key;
  EXPECT_FALSE(parse_timeline_key(key_of(id, piece) + "0"));
}

TEST(WalChain, ALaterPieceCountsFromWhereItBegins) {
  auto piece = [](uint64_t sequence, uint64_t from, uint64_t to) {
    return PieceKey{1, sequence, 1, Lsn(from), Lsn(to)};
  };
  const auto chain = chain_of({piece(1, 0, 100), piece(2, 100, 150), piece(3, 120, 130)});
  ASSERT_EQ(chain.size(), 3u);
  EXPECT_EQ(chain[1].to, Lsn(120));
  EXPECT_EQ(chain.back().to, Lsn(130));
  // A whole segment in the place of its parts; what is before a gap has been trimmed.
  EXPECT_EQ(chain_of({piece(1, 0, 50), piece(2, 50, 90), piece(3, 0, 100)}).size(), 1u);
  EXPECT_EQ(chain_of({piece(1, 0, 50), piece(2, 60, 90)}).front().key.from, Lsn(60));
}

TEST(Formats, WhatWasChangedIsCorrupt) {
  ArchivedManifest manifest;
  manifest.timeline = TimelineId::random();
  manifest.layers[3] = {.generation = 1, .bytes = 10, .crc = 5};
  manifest.manifest = "bytes";
  std::string bytes = manifest.encode();
  EXPECT_EQ(ArchivedManifest::parse(as_bytes(bytes)).layers, manifest.layers);
  for (size_t i = 0; i < bytes.size(); i++) {
    std::string changed = bytes;
    changed[i] ^= 1;
    EXPECT_EQ(code_of([&] { ArchivedManifest::parse(as_bytes(changed)); }), Errc::corrupt);
    EXPECT_EQ(code_of([&] { ArchivedManifest::parse(as_bytes(bytes.substr(0, i))); }),
              Errc::corrupt);
  }
}

TEST(Secrets, OpenWithTheirKeyAndNoOther) {
  const SecretFiles files = {{"catalog.keys", "k"},
                             {"certificates/ca.key", std::string(5000, 'x')}};
  const std::string sealed = seal(files, "the operator's own key");
  EXPECT_EQ(unseal(sealed, "the operator's own key"), files);
  EXPECT_EQ(code_of([&] { unseal(sealed, "another key, as long"); }), Errc::permission_denied);
  EXPECT_EQ(sealed.find("catalog.keys"), std::string::npos);
}

TEST_F(ArchiveTest, WhoTakesAGenerationFencesTheOneBefore) {
  lease_.check(store_);
  EXPECT_EQ(code_of([&] { Lease::take(store_, "other", false); }), Errc::fenced);
  const Lease other = Lease::take(store_, "other", true);
  EXPECT_GT(other.generation(), lease_.generation());
  EXPECT_EQ(code_of([&] { lease_.check(store_); }), Errc::fenced);
  EXPECT_EQ(code_of([&] { Lease::take(store_, "home", false); }), Errc::fenced);
  other.check(store_);
}

TEST_F(ArchiveTest, WalIsThereToTheByteAndSegmentsBecomeOnePiece) {
  WalArchiver archiver(store_, wal_, lease_.generation());
  archiver.upload(id_);
  EXPECT_EQ(archiver.end(id_), wal_.wal.start);
  for (uint64_t step : {100u, 5000u, 16u << 20, 77u}) {
    wal_.wal.flushed = wal_.wal.flushed + step;
    archiver.upload(id_);
    Lsn begin;
    ASSERT_EQ(wal_back(&begin), wal_here(wal_.wal.start)) << step;
    EXPECT_EQ(begin, wal_.wal.start);
    EXPECT_EQ(archiver.end(id_), wal_.wal.flushed);
  }
  EXPECT_LE(store_.list("timelines/").size(), 4u);
}

TEST_F(ArchiveTest, WhatWasCutIsWrittenAnew) {
  WalArchiver archiver(store_, wal_, lease_.generation());
  wal_.wal.flushed = wal_.wal.start + 1000;
  archiver.upload(id_);
  // A new term begins at +600; what follows is something else.
  archiver.cut(id_, wal_.wal.start + 600);
  wal_.wal.term = 2;
  wal_.changed = wal_.wal.start + 600;
  wal_.flavor = 99;
  wal_.wal.flushed = wal_.wal.start + 900;
  archiver.upload(id_);
  EXPECT_EQ(wal_back(), wal_here(wal_.wal.start));
}

TEST_F(ArchiveTest, ARestartGoesOnWhereTheStoreEndsWhateverWasCutMeanwhile) {
  {
    WalArchiver archiver(store_, wal_, lease_.generation());
    wal_.wal.flushed = wal_.wal.start + 1000;
    archiver.upload(id_);
  }
  // The log was torn at +700 and went on to the same length.
  wal_.wal.term = 2;
  wal_.changed = wal_.wal.start + 700;
  wal_.flavor = 5;
  const Lease next = Lease::take(store_, "home", false);
  WalArchiver archiver(store_, wal_, next.generation());
  for (const auto& object : store_.list("timelines/"))
    archiver.found(id_, std::get<PieceKey>(parse_timeline_key(object.key)->what));
  archiver.upload(id_);
  EXPECT_EQ(wal_back(), wal_here(wal_.wal.start));
}

TEST_F(ArchiveTest, WalIsTrimmedOnlyBelowLayersAndWhatIsKept) {
  WalArchiver archiver(store_, wal_, lease_.generation());
  wal_.wal.flushed = Lsn(5 * kSegment + 10);
  archiver.upload(id_);
  archiver.trim(id_, Lsn(4 * kSegment + 1));  // Its safekeeper keeps all.
  EXPECT_EQ(wal_back(), wal_here(wal_.wal.start));
  wal_.wal.oldest = Lsn(3 * kSegment);
  wal_.wal.flushed = wal_.wal.flushed + 10;
  archiver.upload(id_);
  archiver.trim(id_, Lsn(4 * kSegment + 1));
  Lsn begin;
  EXPECT_EQ(wal_back(&begin), wal_here(Lsn(3 * kSegment)));
  EXPECT_EQ(begin, Lsn(3 * kSegment));
}

// A process that is killed between any two of its requests leaves a manifest all of whose layers
// are there.
TEST_F(ArchiveTest, AtEachStepTheStoreHasAWholeTimeline) {
  for (int step = 0; step < 12; step++) {
    const TimelineId id = TimelineId::random();
    store_.left = INT32_MAX;
    WalArchiver wal(store_, wal_, lease_.generation());
    wal.upload(id);
    PageArchiver archiver = page_archiver(wal);
    pages_.set_layers(id, {1, 2}, Lsn(100));
    archiver.upload(id);
    store_.left = step;
    try {
      pages_.set_layers(id, {2, 3, 4}, Lsn(200));
      archiver.upload(id);
      archiver.remove_due();
      pages_.set_layers(id, {5}, Lsn(300));
      archiver.upload(id);
      archiver.remove_due();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::unavailable);
    }
    ArchiveReader reader(store_);
    const ArchivedManifest manifest = reader.manifest(id);
    for (const auto& [layer, archived] : manifest.layers)
      reader.fetch_layer(id, layer, archived, folder_ / "back");
    EXPECT_TRUE(manifest.consistent == Lsn(100) || step > 1);
  }
}

TEST_F(ArchiveTest, WhatNoManifestNamesGoesAfterAWhileAndNotBefore) {
  WalArchiver wal(store_, wal_, lease_.generation());
  pages_.set_layers(id_, {1, 2}, Lsn(100));
  PageArchiver slow = page_archiver(wal, 3'600'000);
  slow.upload(id_);
  pages_.set_layers(id_, {2, 3}, Lsn(200));
  slow.upload(id_);
  slow.remove_due();
  EXPECT_THAT(layers_there(), ElementsAre(layer_name(1), layer_name(2), layer_name(3)));
  // Another one, after a restart, finds what is left over.
  const Lease next = Lease::take(store_, "home", false);
  PageArchiver archiver({store_, pages_, wal, next, std::chrono::milliseconds(0)});
  for (const auto& object : store_.list("timelines/")) {
    const auto key = parse_timeline_key(object.key);
    if (const auto* layer = std::get_if<LayerKey>(&key->what)) archiver.found(id_, *layer);
    if (const auto* manifest = std::get_if<ManifestKey>(&key->what)) archiver.found(id_, *manifest);
  }
  archiver.upload(id_);
  archiver.remove_due();
  EXPECT_THAT(layers_there(), ElementsAre(layer_name(2), layer_name(3)));
}

TEST_F(ArchiveTest, AWriterThatWasLeftBehindRemovesNothing) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1}, Lsn(100));
  archiver.upload(id_);
  const Lease other = Lease::take(store_, "other", true);
  PageArchiver of_other({store_, pages_, wal, other, std::chrono::milliseconds(0)});
  of_other.found(id_, ManifestKey{lease_.generation()});
  pages_.set_layers(id_, {1, 2}, Lsn(200));
  of_other.upload(id_);
  // It goes on for a while.
  pages_.set_layers(id_, {9}, Lsn(50));
  archiver.upload(id_);
  EXPECT_EQ(code_of([&] { archiver.remove_due(); }), Errc::fenced);
  ArchiveReader reader(store_);
  EXPECT_EQ(reader.manifest(id_).consistent, Lsn(200));
  for (const auto& [layer, archived] : reader.manifest(id_).layers)
    reader.fetch_layer(id_, layer, archived, folder_ / "back");
}

TEST_F(ArchiveTest, WhatIsTakenOverIsNamedAnewSoThatNobodyReadsWhatTheOtherStillWrites) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1}, Lsn(100));
  archiver.upload(id_);
  const Lease other = Lease::take(store_, "other", true);
  PageArchiver of_other({store_, pages_, wal, other, std::chrono::milliseconds(0)});
  of_other.found(id_, ManifestKey{lease_.generation()});
  of_other.upload(id_);  // As it was.
  pages_.set_layers(id_, {9}, Lsn(500));
  archiver.upload(id_);  // It does not know yet.
  EXPECT_EQ(ArchiveReader(store_).manifest(id_).consistent, Lsn(100));
  PageArchiver later = page_archiver(wal);
  EXPECT_EQ(code_of([&] { later.upload(id_); }), Errc::fenced);
}

TEST_F(ArchiveTest, ARestartPutsNoManifestThatIsThere) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1}, Lsn(100));
  archiver.upload(id_);
  const Lease again = Lease::take(store_, "home", false);
  PageArchiver after({store_, pages_, wal, again, std::chrono::milliseconds(0)});
  after.found(id_, ManifestKey{lease_.generation()});
  store_.left = 0;
  after.upload(id_);
  EXPECT_TRUE(after.copy_of({id_, 1}));
  store_.left = INT32_MAX;
  pages_.set_layers(id_, {1, 2}, Lsn(200));
  after.upload(id_);
  EXPECT_EQ(ArchiveReader(store_).manifest(id_).consistent, Lsn(200));
  // A generation that says nothing of those before it trusts none of them.
  store_.put(generation_key(again.generation()), Content::of(R"({"home":"home"})"));
  const Lease later = Lease::take(store_, "home", false);
  EXPECT_FALSE(later.is_ours(again.generation()));
  EXPECT_TRUE(later.is_ours(later.generation()));
}

TEST_F(ArchiveTest, OnlyWhatAManifestOfOursNamesMayLeaveTheDisk) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1, 2}, Lsn(100));
  EXPECT_FALSE(archiver.copy_of({id_, 1}));
  store_.left = 2;  // Both layers, and no manifest.
  EXPECT_EQ(code_of([&] { archiver.upload(id_); }), Errc::unavailable);
  EXPECT_FALSE(archiver.copy_of({id_, 1}));
  store_.left = INT32_MAX;
  archiver.upload(id_);
  EXPECT_EQ(archiver.copy_of({id_, 1}), ArchiveReader(store_).manifest(id_).layers.at(1));
  EXPECT_FALSE(archiver.copy_of({id_, 3}));
  EXPECT_FALSE(archiver.copy_of({TimelineId::random(), 1}));
  pages_.set_layers(id_, {2}, Lsn(200));
  archiver.upload(id_);
  EXPECT_FALSE(archiver.copy_of({id_, 1}));
  // Another home's manifest may be overwritten by it.
  const Lease other = Lease::take(store_, "other", true);
  PageArchiver of_other({store_, pages_, wal, other, std::chrono::milliseconds(0)});
  of_other.found(id_, ManifestKey{lease_.generation()});
  of_other.sweep({id_});  // It reads the manifest.
  EXPECT_FALSE(of_other.copy_of({id_, 2}));
  of_other.upload(id_);
  EXPECT_TRUE(of_other.copy_of({id_, 2}));
}

// Where the manifest in the store is damaged, files that are there alone are named anew.
TEST_F(ArchiveTest, ADamagedManifestIsPutAnewThoughItsLayersAreThereAlone) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1, 2}, Lsn(100));
  archiver.upload(id_);
  const ArchivedManifest before = ArchiveReader(store_).manifest(id_);
  const fs::path gone = pages_.timelines[id_].layers[0].file;
  write_layer_note(gone, {id_, 1}, before.layers.at(1));
  fs::remove(gone);
  store_.put(key_of(id_, ManifestKey{lease_.generation()}), Content::of("damaged"));
  auto restart = [&](bool listed) {
    PageArchiver after({store_, pages_, wal, lease_, std::chrono::milliseconds(0)});
    after.found(id_, ManifestKey{lease_.generation()});
    if (listed) after.found(id_, LayerKey{1, before.layers.at(1).generation});
    return code_of([&] { after.upload(id_); });
  };
  EXPECT_EQ(restart(false), Errc::not_found) << "what is nowhere is not named";
  EXPECT_EQ(restart(true), Errc::internal);  // No error.
  EXPECT_EQ(ArchiveReader(store_).manifest(id_).layers.at(1), before.layers.at(1));
}

TEST_F(ArchiveTest, AManifestWaitsForItsWalAndItsAncestor) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  const TimelineId parent = TimelineId::random();
  pages_.set_layers(parent, {1}, Lsn(100));
  pages_.set_layers(id_, {2}, wal_.wal.start + 500);
  pages_.timelines[id_].ancestor = parent;
  pages_.timelines[id_].ancestor_lsn = Lsn(100);
  auto attempt = [&] { return code_of([&] { archiver.upload(id_); }); };
  wal_.is_there = false;
  EXPECT_EQ(attempt(), Errc::conflict) << "it is being made, and is tried again";
  wal_.is_there = true;
  EXPECT_EQ(attempt(), Errc::conflict);
  wal_.wal.flushed = wal_.wal.start + 500;
  EXPECT_EQ(attempt(), Errc::conflict);
  EXPECT_EQ(wal.end(id_), wal_.wal.flushed) << "it comes along";
  archiver.upload(parent);
  EXPECT_EQ(attempt(), Errc::internal);  // No error.
  EXPECT_TRUE(archiver.has(id_));
}

TEST_F(ArchiveTest, TimelinesOfNobodyLeaveTheStoreButNotWhatOthersStandOn) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  const TimelineId parent = TimelineId::random(), lost = TimelineId::random();
  for (TimelineId id : {parent, lost}) {
    pages_.set_layers(id, {1}, Lsn(100));
    archiver.upload(id);
  }
  wal.upload(id_);
  pages_.set_layers(id_, {2}, wal_.wal.start);
  pages_.timelines[id_].ancestor = parent;
  archiver.upload(id_);
  archiver.sweep({id_});
  archiver.remove_due();
  ArchiveReader reader(store_);
  EXPECT_TRUE(reader.has(id_));
  EXPECT_TRUE(reader.has(parent));
  EXPECT_FALSE(reader.has(lost));
}

TEST_F(ArchiveTest, ADamagedLayerIsNoLayer) {
  WalArchiver wal(store_, wal_, lease_.generation());
  PageArchiver archiver = page_archiver(wal);
  pages_.set_layers(id_, {1}, Lsn(100));
  archiver.upload(id_);
  ArchiveReader reader(store_);
  const ArchivedLayer layer = reader.manifest(id_).layers.at(1);
  store_.put(key_of(id_, LayerKey{1, layer.generation}), Content::of("Layer 1"));
  EXPECT_EQ(code_of([&] { reader.fetch_layer(id_, 1, layer, folder_ / "back"); }), Errc::corrupt);
  EXPECT_FALSE(fs::exists(folder_ / "back"));
}

TEST_F(ArchiveTest, ATimelineThatCannotBeCopiedKeepsTheCatalogBackForAWhileOnly) {
  auto store = std::make_shared<objectstore::LocalStore>(folder_ / "other");
  Archive archive({.store = store,
                   .home = "h",
                   .passphrase = "",
                   .interval = std::chrono::milliseconds(5),
                   .catalog_patience = std::chrono::milliseconds(100)});
  pages_.set_layers(id_, {1}, wal_.wal.start);
  pages_.being_written = true;
  const auto begun = steady_clock::now();
  archive.start(pages_, wal_,
                {.changed = [] { return true; },
                 .image = [] { return std::string("catalog"); },
                 .timelines = [&] { return std::set<TimelineId>{id_}; },
                 .ready = [&] { return std::set<TimelineId>{id_}; },
                 .secrets = [] { return SecretFiles(); }});
  while (store->list("catalog/").empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(steady_clock::now() - begun, std::chrono::milliseconds(100));
  EXPECT_FALSE(ArchiveReader(*store).has(id_));
  archive.stop(Deadline::after(std::chrono::milliseconds(0)));
}

// All of it at once, as the platform has it: what is marked gets there, and stop() waits for it.
TEST_F(ArchiveTest, WhatIsMarkedGetsThereAndAStopWaitsForIt) {
  auto store = std::make_shared<objectstore::LocalStore>(folder_ / "other");
  Archive archive({.store = store,
                   .home = "h",
                   .passphrase = "a key of the operator",
                   .interval = std::chrono::milliseconds(20)});
  std::string image = "catalog 1";
  std::atomic<bool> changed = true;
  pages_.set_layers(id_, {1}, wal_.wal.start);
  archive.start(pages_, wal_,
                {.changed = [&] { return changed.load(); },
                 .image = [&] { return changed = false, image; },
                 .timelines = [&] { return std::set<TimelineId>{id_}; },
                 .ready = [&] { return std::set<TimelineId>{id_}; },
                 .secrets = [] { return SecretFiles{{"catalog.keys", "k"}}; }});
  archive.wal_changed(id_);
  archive.pages_changed(id_);
  archive.stop(Deadline::after(std::chrono::seconds(20)));
  ArchiveReader reader(*store);
  EXPECT_EQ(store->list("catalog/").size(), 1u);
  EXPECT_EQ(reader.catalog(), "catalog 1");
  EXPECT_EQ(reader.manifest(id_).layers.size(), 1u);
  EXPECT_EQ(unseal(reader.secrets().value(), "a key of the operator").at("catalog.keys"), "k");
  EXPECT_EQ(archive.archived_lsn(id_), wal_.wal.start);
  EXPECT_EQ(archive.status().waiting, 0u);
}

}  // namespace
}  // namespace halogen::archive
