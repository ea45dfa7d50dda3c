// What the catalog's files hold, and what happens without their key.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "control/catalog.h"
#include "control/names.h"

namespace halogen::control {
namespace {

constexpr const char* kPassword = "npg_theSecretOfTheTest";
const std::string kDeleted = "npg_ofARoleThatIsGone";

class CatalogSecrets : public testing::Test {
 protected:
  CatalogSecrets() {
    std::string folder = fs::temp_directory_path() / "halogen-secrets-XXXXXX";
    folder_ = ::mkdtemp(folder.data());
  }
  ~CatalogSecrets() override {
    catalog_.reset();
    fs::remove_all(folder_);
  }

  Catalog& open(bool forget_unreadable = false) {
    catalog_.reset();
    catalog_ = std::make_unique<Catalog>(
        folder_ / "catalog.db", CatalogOptions{.forget_unreadable_passwords = forget_unreadable});
    return *catalog_;
  }
  std::string add_branch(const std::string& password = kPassword) {
    NewBranch added;
    Project project{.id = new_project_id(), .tenant = TenantId::random()};
    added.branch = {.id = new_branch_id(),
                    .project_id = project.id,
                    .timeline = TimelineId::random(),
                    .name = "main",
                    .is_default = true};
    added.endpoint.id = new_endpoint_id();
    added.endpoint.project_id = project.id;
    added.endpoint.branch_id = added.branch.id;
    added.contents.passwords = {{"neondb_owner", password}};
    catalog_->add_project(project, added, {});
    return added.branch.id;
  }
  std::string password_of(const std::string& branch) {
    return catalog_->password(branch, "neondb_owner").value_or("(none)");
  }
  // Of the catalog's files, the key file not among them.
  bool files_hold(const std::string& text) const {
    return std::ranges::any_of(fs::directory_iterator(folder_), [&](const auto& entry) {
      return entry.path().filename().string().starts_with("catalog.db") &&
             read_file(entry.path()).find(text) != std::string::npos;
    });
  }
  // The message of the error that open() throws.
  std::string refusal() {
    try {
      open();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  static void undo_schemas_since_7(Database& db) {
    for (const char* table : {"planned_changes", "members", "invitations", "users", "organizations",
                              "annotations", "snapshots", "backup_schedules"})
      db.exec(fmt::format("DROP TABLE {}", table));
    for (const char* index : {"projects_created", "endpoints_project"})
      db.exec(fmt::format("DROP INDEX {}", index));
    const std::map<std::string, std::vector<std::string>> columns = {
        {"api_keys", {"kind", "user_id", "org_id", "project_id", "last_used_at", "last_used_from"}},
        {"projects",
         {"org_id", "endpoint_defaults", "history_retention", "store_passwords", "deleted_at"}},
        {"branches",
         {"is_protected", "expires_at", "expires_set_at", "init_source", "restored_from",
          "restored_as", "restore_status", "state_changed_at", "roles_as_of"}},
        {"endpoints",
         {"read_only", "name", "least_cu", "most_cu", "disabled", "asked_for", "timeline",
          "next_job_at"}},
        {"roles", {"created_at", "updated_at"}},
        {"databases", {"created_at", "updated_at"}}};
    for (const auto& [table, names] : columns)
      for (const std::string& name : names)
        db.exec(fmt::format("ALTER TABLE {} DROP COLUMN {}", table, name));
  }

  // As the first version of the catalog kept it, with a password that was deleted, in clear: in the
  // table, in free space and in the journal.
  void make_clear_text_catalog(const std::string& branch) {
    open();
    catalog_.reset();
    fs::remove(key_file());
    Database db(folder_ / "catalog.db");
    db.exec("PRAGMA secure_delete=OFF");
    db.exec("PRAGMA foreign_keys=OFF");
    db.exec("ALTER TABLE roles DROP COLUMN oid");
    db.exec("ALTER TABLE roles DROP COLUMN valid_until");
    db.exec("ALTER TABLE endpoints DROP COLUMN vacuum_due");
    db.exec("ALTER TABLE branches DROP COLUMN parent_time");
    db.exec("ALTER TABLE branches DROP COLUMN last_reset_at");
    db.exec("ALTER TABLE branches DROP COLUMN is_look");
    db.exec("ALTER TABLE passwords DROP COLUMN given_at");
    db.exec("DROP TABLE loose_timelines");
    undo_schemas_since_7(db);
    db.exec("PRAGMA user_version=1");
    db.run("INSERT INTO passwords VALUES (?, 'neondb_owner', ?)", branch, kPassword);
    for (int i = 0; i < 200; ++i)
      db.run("INSERT INTO passwords VALUES (?, 'gone', ?)", std::to_string(i),
             kDeleted + std::to_string(i));
    db.exec("DELETE FROM passwords WHERE role = 'gone'");
  }
  fs::path key_file() const { return folder_ / "catalog.keys"; }

  fs::path folder_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogSecrets, NoFileHoldsAPasswordInClearAndAllAreTheOwnersAlone) {
  open();
  std::string branch = add_branch();
  EXPECT_EQ(password_of(branch), kPassword);
  EXPECT_FALSE(files_hold(kPassword));
  EXPECT_TRUE(files_hold(branch)) << "this test must see what is written";
  for (const auto& entry : fs::directory_iterator(folder_))
    EXPECT_EQ(entry.status().permissions(), fs::perms(0600)) << entry.path();
  open();
  EXPECT_EQ(password_of(branch), kPassword);
}

TEST_F(CatalogSecrets, AClearTextCatalogIsEncryptedAtOpeningAndNothingOfItStays) {
  make_clear_text_catalog("br-old");
  ASSERT_TRUE(files_hold(kPassword));
  ASSERT_TRUE(files_hold(kDeleted)) << "free space must hold what was deleted";
  open();
  EXPECT_EQ(password_of("br-old"), kPassword);
  EXPECT_FALSE(files_hold(kPassword));
  EXPECT_FALSE(files_hold(kDeleted));
}

TEST_F(CatalogSecrets, ACrashAfterTheEncryptionIsMadeGoodAtTheNextOpening) {
  make_clear_text_catalog("br-old");
  open();
  catalog_.reset();
  {
    // As if it had ended before the files were rewritten.
    Database db(folder_ / "catalog.db");
    db.exec("PRAGMA secure_delete=OFF");
    db.exec("INSERT INTO meta VALUES ('rewrite_files', '')");
    db.run("INSERT INTO meta VALUES ('leftover', ?)", kPassword);
    db.exec("DELETE FROM meta WHERE key = 'leftover'");
  }
  ASSERT_TRUE(files_hold(kPassword));
  open();
  EXPECT_FALSE(files_hold(kPassword));
}

TEST_F(CatalogSecrets, WithoutItsKeyTheCatalogIsRefusedUnchanged) {
  open();
  std::string branch = add_branch();
  catalog_.reset();
  fs::rename(key_file(), folder_ / "elsewhere");
  std::string refused = refusal();
  EXPECT_NE(refused.find("is missing"), std::string::npos) << refused;
  EXPECT_NE(refused.find("Put it back"), std::string::npos) << refused;
  EXPECT_FALSE(fs::exists(key_file())) << "a new key would hide what is wrong";
  KeyRing::create(key_file());
  EXPECT_NE(refusal().find("Put back the key file that belongs to this catalog"),
            std::string::npos);
  fs::rename(folder_ / "elsewhere", key_file());
  open();
  EXPECT_EQ(password_of(branch), kPassword);
}

TEST_F(CatalogSecrets, ALostKeyIsForgottenOnlyWhenAskedFor) {
  open();
  std::string lost = add_branch();
  catalog_.reset();
  fs::remove(key_file());
  open(true);
  EXPECT_EQ(password_of(lost), "(none)");
  EXPECT_EQ(catalog_->branch(lost).name, "main");
  EXPECT_EQ(password_of(add_branch()), kPassword);
}

TEST_F(CatalogSecrets, APasswordIsBoundToItsRow) {
  open();
  std::string mine = add_branch("npg_mine");
  std::string victims = add_branch("npg_victims");
  catalog_.reset();
  {
    Database db(folder_ / "catalog.db");
    db.run(
        "UPDATE passwords SET password = (SELECT password FROM passwords WHERE branch_id = ?) "
        "WHERE branch_id = ?",
        victims, mine);
  }
  EXPECT_NE(refusal().find("tampered with"), std::string::npos);
}

TEST_F(CatalogSecrets, RotationEncryptsAllAnewAndKeepsTheOldKeyForOldCopies) {
  open();
  std::string branch = add_branch();
  std::string old = catalog_->password_keys().at(0).id;
  fs::path copy = folder_ / "copy";
  fs::create_directory(copy);
  catalog_.reset();
  fs::copy_file(folder_ / "catalog.db", copy / "catalog.db");
  open().rotate_password_keys();
  std::vector<KeyUse> keys = catalog_->password_keys();
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].id, old);
  EXPECT_EQ(keys[0].passwords, 0);
  EXPECT_TRUE(keys[1].newest);
  EXPECT_EQ(keys[1].passwords, 1);
  EXPECT_FALSE(files_hold(old + ":")) << "what the old key encrypted is overwritten";
  EXPECT_EQ(password_of(branch), kPassword);
  EXPECT_EQ(Catalog(copy / "catalog.db", {.key_file = key_file()}).password(branch, "neondb_owner"),
            kPassword);
  EXPECT_EQ(open().drop_older_password_keys(), 1u);
  EXPECT_EQ(catalog_->password_keys().size(), 1u);
  open();
  EXPECT_EQ(password_of(branch), kPassword);
}

TEST_F(CatalogSecrets, ARotationThatACrashInterruptedIsFinishedAtTheNextOpening) {
  open();
  std::string branch = add_branch();
  catalog_.reset();
  KeyRing::read(key_file()).add_key();  // And no further.
  open();
  std::vector<KeyUse> keys = catalog_->password_keys();
  EXPECT_EQ(keys[0].passwords, 0);
  EXPECT_EQ(keys[1].passwords, 1);
  EXPECT_EQ(password_of(branch), kPassword);
}

TEST_F(CatalogSecrets, AKeyFileThatOthersMayReadOrThatIsDamagedIsRefused) {
  open();
  catalog_.reset();
  fs::permissions(key_file(), fs::perms(0640));
  EXPECT_NE(refusal().find("chmod 600"), std::string::npos);
  fs::permissions(key_file(), fs::perms(0600));
  std::string text = read_file(key_file());
  for (const std::string& damaged :
       {std::string(), text.substr(0, text.size() - 9), text + "x y\n"}) {
    write_file(key_file(), damaged);
    EXPECT_NE(refusal().find("is damaged"), std::string::npos) << damaged;
  }
}

}  // namespace
}  // namespace halogen::control
