#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/log_trace.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/url.h"

namespace halogen {
namespace {

TEST(Lsn, PrintsAndParsesAsPostgresDoes) {
  EXPECT_EQ(Lsn(0x16B374D848).str(), "16/B374D848");
  EXPECT_EQ(Lsn::parse("16/B374D848"), Lsn(0x16B374D848));
  EXPECT_EQ(Lsn::parse("0/0"), Lsn(0));
  for (const char* bad :
       {"", "/", "1/", "/1", "1", "g/1", "123456789/1", "1/123456789", "1/2 ", "-1/2"})
    EXPECT_EQ(Lsn::parse(bad), std::nullopt) << bad;
}

TEST(Crc32c, AgreesWithThePublishedVectors) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(as_bytes("")), 0u);
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c_extend(crc32c(as_bytes("12345")), as_bytes("6789")), 0xE3069283u);
}

TEST(Reader, NeverReadsPastTheEnd) {
  std::string data("\x01\x02\x03", 3);
  Reader reader(data);
  EXPECT_EQ(reader.get<uint16_t>(), 0x0201);
  EXPECT_THROW(reader.get<uint16_t>(), Error);
  EXPECT_EQ(reader.left(), 1u);
  EXPECT_THROW(Reader("no end").cstring(), Error);
  EXPECT_EQ(Reader(std::string_view("\x01\x02", 2)).be_get<uint16_t>(), 0x0102);
}

TEST(Id, SurvivesItsTextForm) {
  TimelineId id = TimelineId::random();
  EXPECT_EQ(TimelineId::parse(id.str()), id);
  EXPECT_THROW(TimelineId::parse("abc"), Error);
  EXPECT_THROW(TimelineId::parse(std::string(32, 'x')), Error);
}

TEST(File, DurableWriteReplacesTheWholeFile) {
  fs::path path = fs::temp_directory_path() / ("halogen-" + random_name(12));
  write_file_durably(path, "first and long");
  write_file_durably(path, "second");
  EXPECT_EQ(read_file(path), "second");
  fs::remove(path);
  try {
    read_file(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::not_found);
  }
}

TEST(Log, AFileThatIsFullBecomesAnOldOneAndTheOldestGoes) {
  fs::path folder = fs::temp_directory_path() / ("halogen-" + random_name(12));
  fs::create_directory(folder);
  log::init(log::Level::info, folder / "halogen.log", 1000);
  const log::Logger logger("test");
  for (int i = 0; i < 100; i++) logger.info("line {} {}", i, std::string(60, 'x'));
  log::init(log::Level::info);
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    EXPECT_LE(entry.file_size(), 1000u);
    files++;
  }
  EXPECT_EQ(files, 1 + log::kOldFiles);
  EXPECT_NE(read_file(folder / "halogen.log").find("line 99"), std::string::npos);
  EXPECT_NE(read_file(folder / "halogen.1.log").find("line 9"), std::string::npos);
  fs::remove_all(folder);
}

TEST(Log, AMessageIsOneLineThatATerminalShowsAsItIs) {
  EXPECT_EQ(log::escaped("r\u00f4le \"bob\" at 12:00, \u20ac, \U0001F600"),
            "r\u00f4le \"bob\" at 12:00, \u20ac, \U0001F600");
  EXPECT_EQ(log::escaped("bob\n2026-01-01T00:00:00Z ERROR [fatal] forged"),
            "bob\\n2026-01-01T00:00:00Z ERROR [fatal] forged");
  EXPECT_EQ(log::escaped(std::string_view("\r\t\0\x1b[2J\x7f", 8)), "\\x0d\\t\\x00\\x1b[2J\\x7f");
  EXPECT_EQ(log::escaped("\u009b2J"), "\\xc2\\x9b2J");       // CSI in one character.
  EXPECT_EQ(log::escaped("a\u202eb"), "a\\xe2\\x80\\xaeb");  // Right to left from here.
  EXPECT_EQ(log::escaped("a\u2028b"), "a\\xe2\\x80\\xa8b");  // Line separator.
  EXPECT_EQ(log::escaped("\xff\xc0\xaf\xe2\x82"), "\\xff\\xc0\\xaf\\xe2\\x82");  // No UTF-8.
  EXPECT_EQ(log::escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");                    // A surrogate.
  EXPECT_EQ(log::escaped("a\\n"), "a\\\\n");
}

TEST(Log, ALineSaysForWhomTheThreadWorksInBothForms) {
  fs::path folder = fs::temp_directory_path() / ("halogen-" + random_name(12));
  fs::create_directory(folder);
  auto written = [&](log::Format format, const std::string& name) {
    log::set_format(format);
    log::init(log::Level::info, folder / name);
    const log::Logger logger("test");
    {
      log::Trace outer("5f3a");
      logger.info("no role \"{}\"", "bob\n\x1b\u202e\xff");
      log::Trace inner("77");
      logger.warn("inner");
    }
    logger.info("nobody");
    log::set_format(log::Format::text);
    log::init(log::Level::info);
    return read_file(folder / name);
  };
  std::string text = written(log::Format::text, "text.log");
  EXPECT_NE(text.find("INFO  [test] <5f3a> no role \"bob\\n"), std::string::npos) << text;
  EXPECT_NE(text.find("WARN  [test] <77> inner\n"), std::string::npos) << text;
  EXPECT_NE(text.find("INFO  [test] nobody\n"), std::string::npos) << text;
  std::string json = written(log::Format::json, "json.log");
  EXPECT_NE(json.find(R"(Z","level":"info","component":"test","id":"5f3a","message":"no role )"
                      R"(\"bob\u000a\u001b\u202e\ufffd\""})"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"("level":"warn","component":"test","id":"77","message":"inner"})"),
            std::string::npos);
  EXPECT_NE(json.find(R"("level":"info","component":"test","message":"nobody"})"),
            std::string::npos);
  EXPECT_EQ(log::trace_id(), "");
  fs::remove_all(folder);
}

TEST(Log, NoFormattedArgumentBeginsALineAndNobodyButTheGroupReadsTheFile) {
  fs::path folder = fs::temp_directory_path() / ("halogen-" + random_name(12));
  fs::create_directory(folder);
  log::init(log::Level::info, folder / "halogen.log");
  log::Logger("test").info("no role {}", "bob\nforged\x1b[2J");
  log::init(log::Level::info);
  std::string text = read_file(folder / "halogen.log");
  EXPECT_NE(text.find("no role bob\\nforged\\x1b[2J\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(fs::status(folder / "halogen.log").permissions(), fs::perms(0640));
  fs::remove_all(folder);
}

TEST(File, TheModeIsTheOneAskedForWhateverWasThere) {
  fs::path folder = fs::temp_directory_path() / ("halogen-" + random_name(12));
  fs::create_directory(folder);
  const mode_t before = ::umask(0077);
  for (auto write : {&write_file, &write_file_durably}) {
    write(folder / "public", "x", 0644);
    EXPECT_EQ(fs::status(folder / "public").permissions(), fs::perms(0644));
    fs::permissions(folder / "public", fs::perms(0666));
    write(folder / "public", "secret", 0600);
    EXPECT_EQ(fs::status(folder / "public").permissions(), fs::perms(0600));
  }
  ::umask(before);
  fs::remove_all(folder);
}

TEST(Metrics, SameNameAndLabelsAreTheSameCounter) {
  metrics::counter("halogen_test_total", "Help.", {{"a", "1"}}).add(2);
  metrics::counter("halogen_test_total", "Help.", {{"a", "1"}}).add(3);
  EXPECT_EQ(metrics::counter("halogen_test_total", "Help.", {{"a", "1"}}).value(), 5);
  EXPECT_NE(metrics::render().find("halogen_test_total{a=\"1\"} 5"), std::string::npos);
}

TEST(Url, WhatIsEncodedIsAnyTextAgain) {
  std::string all;
  for (int c = 0; c < 256; c++) all += static_cast<char>(c);
  EXPECT_EQ(url_decoded(url_encoded(all)), all);
  EXPECT_EQ(url_encoded("a-Z_0.9~ &/\xc3"), "a-Z_0.9~%20%26%2F%C3");
  EXPECT_EQ(url_decoded("100%, %2x%41%4"), "100%, %2xA%4");
}

}  // namespace
}  // namespace halogen
