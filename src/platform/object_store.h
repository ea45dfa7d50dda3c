// object_store.h: which object store a home is copied to, remembered in it, and how to reach it.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "objectstore/open_store.h"
#include "platform/home.h"

namespace halogen::platform {

// What `up` is told. Empty: as remembered.
struct ObjectStoreFlags {
  std::string url;  // "none": no longer copied anywhere.
  std::string endpoint;
  std::string region;
  fs::path credentials_file;
  fs::path key_file;  // Its content seals the secrets that go there.
  std::string from;   // Begin with what this store has.
  std::chrono::milliseconds interval{2000};
  std::chrono::milliseconds grace{600'000};
};

// <home>/object_store.json. It names files with secrets, and holds none.
struct ObjectStoreSettings {
  objectstore::StoreConfig config;
  std::string credentials_file;
  std::string key_file;
  std::string home;        // Random: who writes there.
  bool restoring = false;  // It is being brought back.
};

struct ObjectStore {
  ObjectStoreSettings settings;
  objectstore::Credentials credentials;
  std::string passphrase;

  std::shared_ptr<objectstore::ObjectStore> open() const;
};

// What is remembered, changed by the flags; with its secrets, which only root may be able to read.
// nullopt: there is no store. Throws conflict if --from is asked for in a home that has data, or is
// not in one that was being brought back.
std::optional<ObjectStore> find_object_store(const Layout& layout, const ObjectStoreFlags& flags);
// The one that was remembered, if it is to be left for another or for none, and layer files are
// there alone.
std::optional<ObjectStore> find_store_to_leave(const Layout& layout,
                                               const std::optional<ObjectStore>& next);
// Remembers it; nullopt: that there is none.
void remember_object_store(const Layout& layout, const std::optional<ObjectStore>& store);

}  // namespace halogen::platform
