// The program's own part: arguments, exit codes, and what it says when nothing runs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "cli/context.h"
#include "platform/checks.h"
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

}  // namespace
}  // namespace halogen::cli
