// Power is lost at any step of the catalog: every transaction that was committed is there, whole.
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "control/sqlite.h"
#include "sim/test_disk.h"

namespace halogen::control {
namespace {

constexpr uint64_t kSteps = 120;
constexpr uint64_t kLives = 4;

// What the process that dies has been told, in memory that outlives it.
struct Told {
  bool created = false;
  int64_t begun = 0;
  int64_t committed = 0;
};

class CatalogPowerLossTest : public testing::Test {
 protected:
  std::string run(uint64_t seed) {
    *told_ = {};
    return disk_.live_through(
        kLives, kSteps, [this, seed](uint64_t life) { live(seed + life); },
        [this] { return verify(); });
  }

  std::filesystem::path file() const { return disk_.root() / "catalog.db"; }

  // Each transaction adds a row to both tables, some large, and takes an old one away.
  void live(uint64_t chance) {
    Database db(file());
    for (const char* table : {"a", "b"})
      db.exec(fmt::format("CREATE TABLE IF NOT EXISTS {} (i INTEGER PRIMARY KEY, x TEXT)", table));
    told_->created = true;
    std::mt19937_64 random(chance);
    for (int round = 0; round < 25; ++round) {
      Statement newest = db.query("SELECT coalesce(max(i), 0) FROM a");
      newest.step();
      const int64_t next = newest.integer(0) + 1;
      while (newest.step()) {
      }
      told_->committed = next - 1;  // What was read is acted upon.
      told_->begun = next;
      Transaction transaction(db);
      const std::string text(random() % 3 == 0 ? 20'000 : 20, 'x');
      db.run("INSERT INTO a VALUES (?, ?)", next, text);
      db.run("INSERT INTO b VALUES (?, ?)", next, text);
      db.run("DELETE FROM b WHERE i = ?", next - 10);
      transaction.commit();
      told_->committed = next;
      if (random() % 10 == 0) db.rewrite();
    }
  }

  std::string verify() {
    Database db(file());
    auto answer = [&](const char* question) {
      Statement statement = db.query(question);
      return statement.step() ? statement.text(0) : "";
    };
    if (std::string found = answer("PRAGMA integrity_check"); found != "ok") return found;
    if (answer("SELECT count(*) FROM sqlite_master") != "2")
      return told_->created ? "the tables are lost" : "";
    const std::string same =
        "SELECT (SELECT coalesce(max(i), 0) FROM a) || ' ' || count(*) || ' ' "
        "|| coalesce(max(i), 0) FROM ";
    const int64_t rows = std::stoll(answer("SELECT count(*) FROM a"));
    if (rows < told_->committed || rows > told_->begun)
      return fmt::format("{} rows, of {} committed", rows, told_->committed);
    if (answer((same + "a").c_str()) != fmt::format("{} {} {}", rows, rows, rows) ||
        answer((same + "b").c_str()) !=
            fmt::format("{} {} {}", rows, std::min<int64_t>(rows, 10), rows))
      return "a transaction is torn";
    return "";
  }

  sim::TestDisk disk_;
  sim::Testament<Told> told_;
};

TEST_F(CatalogPowerLossTest, EveryCommittedTransactionIsThere) {
  EXPECT_EQ(disk_.first_problem(15, [this](uint64_t seed) { return run(seed); }), "");
}

// What the test above is worth.
TEST_F(CatalogPowerLossTest, AForgottenSyncIsFound) {
  for (const char* path : {"catalog.db-wal", "*"}) {
    disk_.forget_syncs_of(path);
    EXPECT_NE(disk_.first_problem_from(1, 200, [this](uint64_t seed) { return run(seed); }), "")
        << path;
  }
}

}  // namespace
}  // namespace halogen::control
