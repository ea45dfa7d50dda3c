// files.h: the console's built page, in memory.
//
// Read once, before privileges are given up: what is served is what was there when the platform
// started, and no path of a request ever reaches the file system.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"

namespace halogen::control::console {

struct ConsoleFile {
  std::string content;
  std::string gzip;  // The same, compressed; empty if the build made none.
  std::string type;
  std::string etag;
  bool immutable = false;  // Its name has a hash of its content.
};

class ConsoleFiles {
 public:
  // All files below `folder`. Throws not_found if it has no index.html: the page is not built.
  static std::shared_ptr<const ConsoleFiles> load(const fs::path& folder);

  // What a GET of this path (with its leading slash) shows; every path that names neither a file
  // nor an asset is a page of the application, so index.html. Null: there is no such asset.
  const ConsoleFile* find(const std::string& path) const;

 private:
  std::map<std::string, ConsoleFile> files_;  // By path, as "/assets/index-1a2b3c.js".
};

}  // namespace halogen::control::console
