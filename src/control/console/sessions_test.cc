#include "control/console/sessions.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "control/console/files.h"

namespace halogen::control::console {
namespace {

using Outcome = ConsoleSessions::SignIn::Outcome;

class ConsoleSessionsTest : public testing::Test {
 protected:
  ConsoleSessionsTest() {
    std::string folder = fs::temp_directory_path() / "halogen-console-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    begin();
  }
  ~ConsoleSessionsTest() override { fs::remove_all(folder_); }

  void begin() {
    sessions_ = std::make_unique<ConsoleSessions>(ConsoleSessions::Options{
        .home = folder_,
        .knows_key = [this](const std::string& hash) { return hash == known_key_; },
        .now = [this] { return now_; }});
  }
  Outcome try_password(const std::string& password, const std::string& from = "127.0.0.1") {
    return sessions_->with_password(password, from).outcome;
  }

  fs::path folder_;
  SystemTime now_ = std::chrono::system_clock::now();
  std::string known_key_;
  std::unique_ptr<ConsoleSessions> sessions_;
};

TEST_F(ConsoleSessionsTest, ThePasswordIsInAFileOfItsOwnerAndCanBeChangedThere) {
  std::string password = sessions_->password();
  EXPECT_EQ(password.size(), 20u);
  struct stat status{};
  ASSERT_EQ(::stat((folder_ / "operator_password").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(try_password(password), Outcome::done);
  write_file(folder_ / "operator_password", "correct horse\n");
  EXPECT_EQ(try_password(password), Outcome::wrong);
  EXPECT_EQ(try_password("correct horse"), Outcome::done);
}

TEST_F(ConsoleSessionsTest, AnEmptyOrShortPasswordLetsNobodyIn) {
  for (std::string text : {"", "\n", "short"}) {
    write_file(folder_ / "operator_password", text);
    EXPECT_EQ(try_password(text), Outcome::wrong);
  }
}

TEST_F(ConsoleSessionsTest, ASessionOutlivesARestartAndEndsWithTimeOrBySigningOut) {
  std::string token = sessions_->with_password(sessions_->password(), "::1").token;
  std::string other = sessions_->with_password(sessions_->password(), "::1").token;
  EXPECT_TRUE(sessions_->admits(token));
  EXPECT_FALSE(sessions_->admits(""));
  EXPECT_FALSE(sessions_->admits(token.substr(1)));
  begin();
  EXPECT_TRUE(sessions_->admits(token));
  EXPECT_EQ(read_file(folder_ / "console_sessions").find(token), std::string::npos);
  sessions_->sign_out(other);
  begin();
  EXPECT_FALSE(sessions_->admits(other));
  now_ += kSessionTime;
  EXPECT_FALSE(sessions_->admits(token));
}

TEST_F(ConsoleSessionsTest, ALinkWorksOnceAndForAnHour) {
  std::string secret = sessions_->make_link();
  EXPECT_EQ(sessions_->with_link(secret, "::1").outcome, Outcome::done);
  EXPECT_EQ(sessions_->with_link(secret, "::1").outcome, Outcome::wrong);
  secret = sessions_->make_link();
  now_ += kLinkTime;
  EXPECT_EQ(sessions_->with_link(secret, "::1").outcome, Outcome::wrong);
  EXPECT_EQ(sessions_->with_link("nonsense", "::1").outcome, Outcome::wrong);
}

TEST_F(ConsoleSessionsTest, ARevokedKeyEndsItsSessions) {
  known_key_ = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";  // "foo"
  EXPECT_EQ(sessions_->with_key("bar", "::1").outcome, Outcome::wrong);
  std::string token = sessions_->with_key("foo", "::1").token;
  begin();
  EXPECT_TRUE(sessions_->admits(token));
  known_key_.clear();
  EXPECT_FALSE(sessions_->admits(token));
}

TEST_F(ConsoleSessionsTest, AfterTooManyFailuresEvenTheRightPasswordWaits) {
  for (size_t i = 0; i < kFailuresOfOne; ++i) EXPECT_EQ(try_password("wrong"), Outcome::wrong);
  EXPECT_EQ(try_password(sessions_->password()), Outcome::too_many);
  EXPECT_EQ(try_password(sessions_->password(), "192.0.2.1"), Outcome::done);
  for (size_t i = kFailuresOfOne; i < kFailuresOfAll; ++i) try_password("wrong", std::to_string(i));
  EXPECT_EQ(try_password(sessions_->password(), "192.0.2.1"), Outcome::too_many);
  now_ += kFailureTime + std::chrono::seconds(1);
  EXPECT_EQ(try_password(sessions_->password()), Outcome::done);
}

TEST_F(ConsoleSessionsTest, ADamagedFileOfSessionsSignsOutAndNoMore) {
  write_file(folder_ / "console_sessions", "no such\nthing 1 2 3 4");
  begin();
  EXPECT_EQ(try_password(sessions_->password()), Outcome::done);
}

TEST(ConsoleFiles, EveryPathThatIsNoFileIsAPageOfTheApplication) {
  std::string name = fs::temp_directory_path() / "halogen-page-XXXXXX";
  fs::path folder = ::mkdtemp(name.data());
  EXPECT_THROW(ConsoleFiles::load(folder), Error);
  fs::create_directories(folder / "assets");
  write_file(folder / "index.html", "<html>");
  write_file(folder / "assets/app-1.js", "code");
  write_file(folder / "assets/app-1.js.gz", "zipped");
  auto files = ConsoleFiles::load(folder);
  fs::remove_all(folder);
  EXPECT_EQ(files->find("/")->content, "<html>");
  EXPECT_EQ(files->find("/p/any/thing")->content, "<html>");
  EXPECT_EQ(files->find("/../../etc/passwd")->content, "<html>");
  EXPECT_EQ(files->find("/assets/none.js"), nullptr);
  EXPECT_EQ(files->find("/assets/app-1.js.gz"), nullptr);
  const ConsoleFile* script = files->find("/assets/app-1.js");
  EXPECT_EQ(script->gzip, "zipped");
  EXPECT_EQ(script->type, "text/javascript; charset=utf-8");
  EXPECT_TRUE(script->immutable);
  EXPECT_FALSE(files->find("/")->immutable);
}

}  // namespace
}  // namespace halogen::control::console
