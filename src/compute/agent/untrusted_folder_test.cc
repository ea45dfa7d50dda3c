#include "compute/agent/untrusted_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "compute/agent/test_folder.h"

namespace halogen::compute {
namespace {

template <typename Call>
Errc code_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "did not fail";
  return Errc::internal;
}

TEST(UntrustedFolder, NothingIsReachedOverALinkAndNothingIsWaitedFor) {
  TempFolder temp;
  const fs::path inside = temp.path() / "inside";
  fs::create_directories(inside / "folder");
  write_file(inside / "folder/file", "content");
  write_file(temp.path() / "secret", "secret");
  fs::create_symlink(temp.path() / "secret", inside / "link");
  fs::create_symlink("folder", inside / "folder-link");
  fs::create_symlink(inside, temp.path() / "inside-link");
  ASSERT_EQ(::mkfifo((inside / "pipe").c_str(), 0600), 0);

  UntrustedFolder folder(inside);
  EXPECT_EQ(folder.read("folder/file", 7), "content");
  EXPECT_EQ(folder.names("folder"), std::vector<std::string>{"file"});
  EXPECT_EQ(code_of([&] { folder.read("folder/file", 6); }), Errc::corrupt);
  EXPECT_EQ(code_of([&] { folder.read("none", 6); }), Errc::not_found);
  for (const char* path : {"link", "folder-link/file", "pipe", "../secret", "folder"})
    EXPECT_EQ(code_of([&] { folder.read(path, 100); }), Errc::corrupt) << path;
  EXPECT_EQ(code_of([&] { folder.names("folder-link"); }), Errc::corrupt);
  EXPECT_EQ(code_of([&] { folder.link("folder-link/file", temp.path() / "new"); }), Errc::corrupt);
  EXPECT_EQ(code_of([&] { UntrustedFolder(temp.path() / "inside-link"); }), Errc::corrupt);
  folder.link("folder/file", temp.path() / "new");
  folder.remove("folder/file");
  EXPECT_EQ(read_file(temp.path() / "new"), "content");
}

}  // namespace
}  // namespace halogen::compute
