// test_folder.h: a temporary folder with a short path, removed at the end. For tests.
#pragma once
#include <stdlib.h>

#include "base/error.h"
#include "base/file.h"

namespace halogen::compute {

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/hgXXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace halogen::compute
