// Each value is offered to a stock server, too: what it takes, and as what, is what we say.
#include "postgres/setting_value.h"

#include <gtest/gtest.h>

#include <climits>
#include <cmath>
#include <sstream>
#include <tuple>
#include <vector>

#include "postgres/stock_cluster.h"

namespace halogen::setting {
namespace {

using testing::StockCluster;

const std::vector<std::string> kTexts = {
    "0",     "1",     "64",    "007",        "0x40",       "-1",          "+5",
    " 64",   "64 ",   "64kB",  "64 kB",      "64  kB ",    "64KB",        "64kb",
    "1MB",   "0.5MB", "1.5GB", "30.1GB",     "2TB",        "9999TB",      "1e3",
    "1E2kB", "1e",    "1.",    ".5",         ".5MB",       "65536B",      "70000B",
    "511B",  "5min",  "90s",   "1500ms",     "999us",      "1500us",      "1.5h",
    "1d",    "1 d",   "1day",  "2147483647", "2147483648", "-2147483648", "99999999999999999999",
    "1e400", "nan",   "inf",   "infinity",   "",           " ",           "abc",
    "kB",    "10 20", "10kBx", "0x",         "0xfg",       "1kB kB",      "08",
    "1_000", "--1",   "1e-3",  "0.0001",     "1e308",      "\t7\n",       "7\v"};

// What SHOW says after SET, or "refused", for each text.
std::vector<std::string> taken(StockCluster& cluster, const std::string& name,
                               const std::vector<std::string>& texts) {
  std::string script =
      "CREATE OR REPLACE FUNCTION pg_temp.take(name text, value text) RETURNS text LANGUAGE "
      "plpgsql AS $$ BEGIN PERFORM set_config(name, value, false); RETURN (SELECT setting FROM "
      "pg_settings s WHERE s.name = take.name); EXCEPTION WHEN OTHERS THEN RETURN 'refused'; END "
      "$$;\n";
  for (const std::string& text : texts) {
    std::string quoted;
    for (char c : text) quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    script += fmt::format("SELECT pg_temp.take('{}', E'{}');\n", name, quoted);
  }
  std::vector<std::string> lines;
  std::istringstream answers(cluster.sql(script));
  for (std::string line; std::getline(answers, line);) lines.push_back(line);
  EXPECT_EQ(lines.size(), texts.size());
  return lines;
}

class SettingValue : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = new StockCluster;
    cluster_->start();
  }
  static void TearDownTestSuite() {
    delete cluster_;
    cluster_ = nullptr;
  }
  static StockCluster* cluster_;
};
StockCluster* SettingValue::cluster_ = nullptr;

TEST_F(SettingValue, IntegersAreThoseOfPostgres) {
  struct Case {
    const char* name;
    Unit unit;
    int least, most;
  };
  for (auto [name, unit, least, most] :
       {Case{"work_mem", Unit::kilobytes, 64, INT_MAX},
        Case{"temp_buffers", Unit::blocks, 100, 1073741823},
        Case{"log_parameter_max_length", Unit::bytes, -1, 1073741823},
        // One that ends no statement of this very script.
        Case{"lock_timeout", Unit::milliseconds, 0, INT_MAX},
        Case{"default_statistics_target", Unit::none, 1, 10000}}) {
    std::vector<std::string> theirs = taken(*cluster_, name, kTexts);
    for (size_t i = 0; i < kTexts.size(); ++i) {
      std::optional<int> ours = parse_integer(kTexts[i], unit);
      if (ours && (*ours < least || *ours > most)) ours.reset();
      EXPECT_EQ(ours ? std::to_string(*ours) : "refused", theirs[i]) << name << " " << kTexts[i];
    }
  }
}

TEST_F(SettingValue, RealNumbersAreThoseOfPostgres) {
  for (auto [name, unit, most] : {std::tuple{"vacuum_cost_delay", Unit::milliseconds, 100.0},
                                  std::tuple{"random_page_cost", Unit::none, 1.79769e+308}}) {
    std::vector<std::string> theirs = taken(*cluster_, name, kTexts);
    for (size_t i = 0; i < kTexts.size(); ++i) {
      std::optional<double> ours = parse_real(kTexts[i], unit);
      if (ours && !(*ours >= 0 && *ours <= most)) ours.reset();
      ASSERT_EQ(ours.has_value(), theirs[i] != "refused") << name << " " << kTexts[i];
      if (ours) EXPECT_NEAR(*ours, std::stod(theirs[i]), std::abs(*ours) * 1e-5);
    }
  }
}

TEST_F(SettingValue, BooleansAreThoseOfPostgres) {
  const std::vector<std::string> texts = {"on",    "off", "o",   "of",   "ON", "tRue", "t",
                                          "truex", "y",   "yes", "yess", "n",  "no",   "f",
                                          "fals",  "1",   "0",   "10",   "",   " on",  "maybe"};
  std::vector<std::string> theirs = taken(*cluster_, "enable_sort", texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::optional<bool> ours = parse_bool(texts[i]);
    EXPECT_EQ(!ours ? "refused" : *ours ? "on" : "off", theirs[i]) << texts[i];
  }
}

TEST(SettingNumber, IsWrittenInAUnitThatPostgresTakes) {
  EXPECT_EQ(format_number(64, Unit::kilobytes), "64kB");
  EXPECT_EQ(format_number(16384, Unit::blocks), "131072kB");
  EXPECT_EQ(format_number(0.5, Unit::none), "0.5");
}

}  // namespace
}  // namespace halogen::setting
