// local_store.h: a folder as an object store: another disk, or a file system of the network.
//
// An object is a file of its key's path. A put is a temporary file, fsync, rename, fsync of the
// folders: whole or not at all, and durable. Names that begin with a dot are put under way.
#pragma once
#include "objectstore/object_store.h"

namespace halogen::objectstore {

class LocalStore : public ObjectStore {
 public:
  // The folder is made by the first put, if its parent is there: without that, what should be
  // mounted there is not, and the store is `unavailable`.
  explicit LocalStore(fs::path folder);

  void put(const std::string& key, const Content& content) override;
  bool put_if_absent(const std::string& key, const Content& content) override;
  std::string get(const std::string& key, Range range) override;
  std::vector<ObjectInfo> list(const std::string& prefix) override;
  void remove(const std::string& key) override;
  std::string name() const override { return "file://" + folder_.string(); }

 private:
  fs::path path_of(const std::string& key) const;
  fs::path write_temporary(const fs::path& path, const Content& content) const;
  void require_place() const;
  void make_folders(const fs::path& folder) const;

  const fs::path folder_;
};

}  // namespace halogen::objectstore
