// The program's own part: arguments, exit codes, and what it says when nothing runs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "base/error.h"
#include "cli/context.h"
#include "cli/log_line.h"
#include "cli/target.h"
#include "cli/words.h"
#include "platform/checks.h"
#include "platform/memory_shares.h"
#include "platform/privileges.h"

namespace halogen::cli {
namespace {

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string folder = fs::temp_directory_path() / "halogen-cli-XXXXXX";
    home_ = ::mkdtemp(folder.data());
  }
  ~CliTest() override { fs::remove_all(home_); }

  int call(std::vector<std::string> words) {
    words.insert(words.begin(), "halogen");
    words.insert(words.end(), {"--home", home_.native()});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    int code = run(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  fs::path home_;
  std::string out_;
  std::string err_;
};

TEST_F(CliTest, WrongUsageIsTwoAndHelpIsZeroWithExamples) {
  EXPECT_EQ(call({"frobnicate"}), kUsage);
  EXPECT_EQ(call({}), kUsage);
  EXPECT_EQ(call({"up", "--pg-port", "99999"}), kUsage);
  EXPECT_EQ(call({"up", "--isolation", "walls"}), kUsage);
  EXPECT_EQ(call({"projects", "delete"}), kUsage);
  EXPECT_EQ(call({"--help"}), kOk);
  EXPECT_NE(out_.find("halogen up --detach"), std::string::npos);
  for (const char* command : {"up", "status", "down", "logs", "psql", "connection-string", "wake"})
    EXPECT_EQ(call({command, "--help"}), kOk) << command;
}

TEST_F(CliTest, AMistypedWordIsNamedWithTheNearestOne) {
  struct Case {
    std::vector<std::string> words;
    std::string said;
  };
  for (const Case& one :
       {Case{{"brnaches", "list"}, "Did you mean: halogen branches"},
        Case{{"branches", "creat"}, "Did you mean: halogen branches create"},
        Case{{"branches", "lsit"}, "Did you mean: halogen branches list"},
        Case{{"--json", "stauts"}, "Did you mean: halogen status"},
        Case{{"projects"}, "halogen projects needs a command: create, list"},
        Case{{"zzzzzzzz"}, "There is: up, status"},
        Case{{"branches", "list", "--projcet", "a"}, "Did you mean: --project"}}) {
    EXPECT_EQ(call(one.words), kUsage);
    EXPECT_NE(err_.find(one.said), std::string::npos) << err_;
  }
  EXPECT_EQ(call({"branch", "list"}), kFailed) << "neonctl's other name for it: " << err_;
}

TEST_F(CliTest, LinesOfTheLogAreReadInBothForms) {
  const std::string text = "2026-11-29T07:00:00.123456Z WARN  [control] <5f3a> ep-1: a \\n b";
  std::optional<LogLine> line = parse_log_line(text);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->level + "/" + line->component + "/" + line->id, "warn/control/5f3a");
  EXPECT_EQ(line->message, "ep-1: a \\n b");
  EXPECT_EQ(line->as_text(), text);
  std::optional<LogLine> again = parse_log_line(line->as_json());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->as_text(), text);
  EXPECT_EQ(parse_log_line("2026-11-29T07:00:00Z INFO  [proxy] <b> is bold")->id, "b");
  EXPECT_EQ(parse_log_line("2026-11-29T07:00:00Z INFO  [proxy] up")->id, "");
  for (const char* other : {"", "{", "[]", "Traceback", "{\"time\": "})
    EXPECT_FALSE(parse_log_line(other)) << other;
}

TEST_F(CliTest, NearIsAFewLettersNotAnything) {
  EXPECT_EQ(distance("abc", "abc"), 0u);
  EXPECT_EQ(distance("abc", "acb"), 1u);
  EXPECT_EQ(distance("", "abc"), 3u);
  EXPECT_EQ(nearest("ps", {"projects", "psql", "up"}), "psql");
  EXPECT_EQ(nearest("frobnicate", {"projects", "psql", "up"}), "");
  EXPECT_EQ(nearest("x", {"y"}), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), {"up"}), "");
}

TEST_F(CliTest, TheVersionIsToldWithoutAPlatform) {
  EXPECT_EQ(call({"--version"}), kOk);
  EXPECT_EQ(out_.rfind("halogen ", 0), 0u) << out_;
}

TEST_F(CliTest, CompletionOffersWhatCanComeNext) {
  auto offered = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"halogen", "__complete"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    testing::internal::CaptureStdout();
    EXPECT_EQ(run(static_cast<int>(argv.size()), argv.data()), kOk);
    std::fflush(stdout);
    std::string names;
    for (std::istringstream lines(testing::internal::GetCapturedStdout()); !lines.eof();) {
      std::string line;
      if (std::getline(lines, line)) names += line.substr(0, line.find('\t')) + " ";
    }
    return names;
  };
  EXPECT_EQ(offered({"branches", "re"}), "rename restore reset ");
  EXPECT_EQ(offered({"outgoing-traffic", "o"}), "on off ");
  EXPECT_EQ(offered({"--json", "outgoing-traffic", "--branch", "x", "of"}), "off ");
  EXPECT_EQ(offered({"completion", ""}), "bash zsh fish ");
  EXPECT_EQ(offered({"up", "--pg"}), "--pg-port ");
  EXPECT_EQ(offered({"--home", ""}), ":files ");
  EXPECT_EQ(offered({"--home", home_, "branches", "get", ""}), "") << "nothing runs there";
  EXPECT_EQ(offered({"nonsense", ""}), "");
}

TEST_F(CliTest, TheNearestFileSaysWhichProjectIsInUse) {
  const fs::path inner = home_ / "a" / "b";
  fs::create_directories(inner);
  EXPECT_EQ(find_target_file(inner, home_), std::nullopt);
  write_target_file(home_ / ".neon", {"outer-project", ""});
  EXPECT_EQ(find_target_file(inner, home_), home_ / ".neon");
  EXPECT_EQ(find_target_file(inner, home_ / "a"), std::nullopt) << "not above $HOME";
  write_target_file(home_ / "a" / ".neon", {"p", "b"});
  EXPECT_EQ(find_target_file(inner, home_), home_ / "a" / ".neon");
  const DefaultTarget found = read_target_file(home_ / "a" / ".neon");
  EXPECT_EQ(found.project + "/" + found.branch, "p/b");
  fs::create_directories(inner / ".neon");
  EXPECT_EQ(find_target_file(inner, home_), home_ / "a" / ".neon") << "a folder is no such file";
}

TEST_F(CliTest, AFileOfNeonctlsIsReadAndKeepsWhatWeDoNotKnow) {
  const fs::path file = home_ / ".neon";
  write_file(file, R"({"orgId": "org-1", "projectId": "p", "branch": "main"})");
  EXPECT_EQ(read_target_file(file).branch, "main");
  write_target_file(file, {"q", "br-1"});
  EXPECT_NE(read_file(file).find("org-1"), std::string::npos);
  EXPECT_EQ(read_file(file).find("main"), std::string::npos);
  write_target_file(file, {});
  EXPECT_TRUE(read_target_file(file).project.empty());
  write_file(file, R"({"projectId": "p"})");
  write_target_file(file, {});
  EXPECT_FALSE(fs::exists(file));
  for (const char* damaged : {"", "[]", "{", R"({"projectId": 7})"}) {
    write_file(file, damaged);
    EXPECT_THROW(read_target_file(file), Error) << damaged;
  }
}

TEST_F(CliTest, WhenNothingRunsCommandsSayHowToStartIt) {
  EXPECT_EQ(call({"projects", "list"}), kFailed);
  EXPECT_NE(err_.find("halogen up --detach"), std::string::npos) << err_;
  EXPECT_EQ(call({"status"}), kNotRunning);
  EXPECT_EQ(call({"status", "--json"}), kNotRunning);
  EXPECT_NE(out_.find("\"state\": \"stopped\""), std::string::npos) << out_;
  EXPECT_EQ(call({"down"}), kOk);
}

TEST_F(CliTest, ASecondUpOnTheSameHomeNamesThePid) {
  platform::HomeLock lock{platform::Layout(home_)};
  EXPECT_EQ(call({"up"}), kFailed);
  EXPECT_NE(err_.find("already running"), std::string::npos) << err_;
  EXPECT_NE(err_.find(std::to_string(::getpid())), std::string::npos) << err_;
  EXPECT_THROW(platform::HomeLock{platform::Layout(home_)}, Error);
}

TEST_F(CliTest, ATakenPortIsNamedWithTheOptionThatChoosesAnother) {
  int port = platform::free_port({"127.0.0.1"});
  platform::check_port("127.0.0.1", port, "--pg-port");
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(call({"up", "--pg-port", std::to_string(port)}), kFailed);
  EXPECT_NE(err_.find(fmt::format("port {} on 127.0.0.1 is already in use", port)),
            std::string::npos)
      << err_;
  EXPECT_NE(err_.find(fmt::format("(pid {})", ::getpid())), std::string::npos) << err_;
  EXPECT_NE(err_.find("--pg-port"), std::string::npos) << err_;
  EXPECT_TRUE(fs::is_empty(home_)) << "nothing was made";
}

TEST_F(CliTest, ALongHomeHasItsSocketsElsewhere) {
  platform::Layout near("/var/lib/halogen");
  EXPECT_EQ(near.run, "/var/lib/halogen/run");
  platform::Layout far("/home/somebody/with/a/very/long/path/to/a/folder/that/holds/halogen");
  EXPECT_LT(far.run.native().size(), 40u);
  EXPECT_NE(far.run, platform::Layout("/home/somebody/else/with/a/very/long/path/to/halogen").run);
}

TEST_F(CliTest, LibrariesAreKeptPerBuild) {
  fs::path from = home_ / "from";
  fs::create_directories(from);
  write_file(from / "a.so", "one");
  fs::path first = platform::copy_libraries(from, {"a.so"}, home_);
  EXPECT_EQ(platform::copy_libraries(from, {"a.so"}, home_), first);
  write_file(from / "a.so", "two");
  fs::path second = platform::copy_libraries(from, {"a.so"}, home_);
  EXPECT_NE(first, second);
  EXPECT_EQ(read_file(first / "a.so"), "one");
  EXPECT_EQ(read_file(second / "a.so"), "two");
}

TEST(MemorySharesTest, TogetherAreTheBudgetWhereItIsNotTiny) {
  for (uint64_t all = uint64_t{2} << 30; all <= uint64_t{1} << 40; all += all / 3) {
    const auto shares = platform::MemoryShares::of(all);
    const uint64_t held = shares.messages + shares.bodies;
    EXPECT_LE(shares.pages + shares.blocks + shares.indexes + shares.layers + 3 * held, all);
  }
}

}  // namespace
}  // namespace halogen::cli
