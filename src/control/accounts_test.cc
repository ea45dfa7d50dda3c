#include "control/accounts.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "control/names.h"

namespace halogen::control {
namespace {

class AccountsTest : public testing::Test {
 protected:
  AccountsTest() {
    std::string folder = fs::temp_directory_path() / "halogen-accounts-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
    reopen();
  }
  ~AccountsTest() override { fs::remove_all(folder_); }

  void reopen() {
    accounts_.reset();
    catalog_.reset();
    catalog_ = std::make_unique<Catalog>(folder_ / "catalog.db");
    accounts_ = std::make_unique<Accounts>(folder_ / "catalog.db");
  }
  bool knows(const std::string& secret) { return accounts_->principal_of(secret).has_value(); }

  fs::path folder_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Accounts> accounts_;
};

TEST_F(AccountsTest, KeysAreKnownByTheirHashOnly) {
  const std::string secret = new_api_key();
  accounts_->set_operator_key("local", secret);
  EXPECT_TRUE(knows(secret));
  EXPECT_FALSE(knows(secret + "x"));
  EXPECT_FALSE(knows(""));
  reopen();
  EXPECT_TRUE(knows(secret));
  for (const char* file : {"catalog.db", "catalog.db-wal"})
    EXPECT_EQ(read_file(folder_ / file).find(secret), std::string::npos);
}

TEST_F(AccountsTest, ANewOperatorKeyTakesThePlaceOfTheOldOneOfItsName) {
  accounts_->set_operator_key("local", "napi_old");
  accounts_->set_operator_key("other", "napi_other");
  accounts_->set_operator_key("local", "napi_new");
  EXPECT_FALSE(knows("napi_old"));
  EXPECT_TRUE(knows("napi_new"));
  EXPECT_TRUE(knows("napi_other"));
}

TEST_F(AccountsTest, TheFirstUserAndOrganizationAreThereAndStayTheSame) {
  const User user = accounts_->operator_user();
  ASSERT_EQ(accounts_->organizations().size(), 1u);
  const std::string org = accounts_->organizations()[0].id;
  reopen();
  EXPECT_EQ(accounts_->user(user.id).name, "operator");
  EXPECT_EQ(accounts_->organization(org).id, org);
  EXPECT_THROW(accounts_->user("none"), Error);
  EXPECT_THROW(accounts_->organization("none"), Error);
}

TEST_F(AccountsTest, ARevokedKeyIsKnownToNobodyAtOnce) {
  const std::string org = accounts_->organizations()[0].id;
  const ApiKey key = accounts_->add_key(
      {.name = "ci", .kind = KeyKind::project, .org_id = org, .project_id = "p"}, "napi_ci");
  ASSERT_TRUE(knows("napi_ci"));
  EXPECT_EQ(accounts_->principal_of("napi_ci")->project_id, "p");
  ASSERT_EQ(accounts_->organization_keys(org).size(), 1u);
  accounts_->revoke(key.id);
  EXPECT_FALSE(knows("napi_ci"));
  EXPECT_TRUE(accounts_->organization_keys(org).empty());
  EXPECT_THROW(accounts_->revoke(key.id), Error);
}

TEST_F(AccountsTest, TheLastUseOfAKeyIsNoted) {
  const std::string user = accounts_->operator_user().id;
  const ApiKey key = accounts_->add_key({.name = "mine", .user_id = user}, "napi_mine");
  EXPECT_FALSE(accounts_->personal_keys(user)[0].last_used_at);
  accounts_->note_use(key.id, "192.0.2.1");
  accounts_->note_use(key.id, "192.0.2.2");  // Within a minute: not written again.
  const ApiKey noted = accounts_->personal_keys(user)[0];
  EXPECT_TRUE(noted.last_used_at);
  EXPECT_EQ(noted.last_used_from, "192.0.2.1");
}

}  // namespace
}  // namespace halogen::control
