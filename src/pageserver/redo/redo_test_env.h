// redo_test_env.h: what redo tests need around them: a folder, the extension, a user who may run
// postgres.
#pragma once
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/ids.h"
#include "pageserver/redo/redo_pool.h"

namespace halogen::pageserver::testing {

// Removed with everything in it. Belongs to the user that runs postgres.
class TestFolder {
 public:
  TestFolder() : path_(fs::temp_directory_path() / ("halogen-redo-" + random_name(8))) {
    fs::create_directories(path_);
    if (geteuid() == 0) {
      const passwd* user = getpwnam("postgres");
      CHECK(user != nullptr, "tests that run as root need the user postgres");
      run_as_ = {user->pw_uid, user->pw_gid};
      CHECK(chown(path_.c_str(), run_as_->uid, run_as_->gid) == 0);
    }
    chmod(path_.c_str(), 0755);
    // Wherever the checkout is, this place can be read by that user.
    fs::copy_file(built_extension(), extension());
    chmod(extension().c_str(), 0755);
  }
  ~TestFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const fs::path& path() const { return path_; }
  fs::path extension() const { return path_ / "halogen.so"; }
  fs::path scratch() const { return path_ / "redo"; }
  const std::optional<RedoProcessOptions::RunAs>& run_as() const { return run_as_; }

  RedoProcessOptions process_options() const {
    RedoProcessOptions options;
    options.extension = extension();
    options.run_as = run_as_;
    return options;
  }
  RedoPool::Options pool_options() const {
    RedoPool::Options options;
    options.process = process_options();
    options.scratch = scratch();
    return options;
  }

  // Built beside the library.
  static fs::path extension_sql() { return built_extension().replace_filename("halogen.sql"); }

 private:
  // build/<preset>/bin/<test> and build/<preset>/lib/halogen.so.
  static fs::path built_extension() {
    if (const char* path = std::getenv("HALOGEN_EXTENSION")) return path;
    return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib" / "halogen.so";
  }

  fs::path path_;
  std::optional<RedoProcessOptions::RunAs> run_as_;
};

}  // namespace halogen::pageserver::testing
