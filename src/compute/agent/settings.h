// settings.h: the configuration a compute's Postgres runs with: ours, then the user's over it.
//
// The data directory is a cache, so there are no full-page writes. WAL that is written in place is
// synced by Postgres, and the shim lets no other sync happen. With a safekeeper that pulls it,
// nothing is synced here, and a commit waits for the standby named "safekeeper".
#pragma once
#include <map>
#include <string>

#include "base/file.h"
#include "protocol/safekeeper_admin.h"

namespace halogen::compute {

inline constexpr const char* kStandbyName = "safekeeper";

class Settings {
 public:
  struct Places {
    fs::path socket_folder;
    fs::path library_folder;  // Of halogen.so.
    uint64_t free_space =
        0;  // On the disk, in bytes; a query's temporary files get a quarter of it.
    WalPath wal = WalPath::in_place;
  };

  // Throws invalid_argument, naming the setting, for one that is ours to set, or is malformed.
  Settings(const Places& places, const std::map<std::string, std::string>& overrides);

  const std::string& get(const std::string& name) const;
  // Postgres' boolean and integer spellings; invalid_argument otherwise.
  bool get_bool(const std::string& name) const;
  int get_int(const std::string& name) const;
  // There are prepared transactions to be kept, so boot would fail with fewer.
  void at_least(const std::string& name, int value);

  // The whole of postgresql.conf.
  std::string render() const;
  static std::string hba();

 private:
  void apply(const std::string& name, const std::string& value);

  std::map<std::string, std::string> values_;
};

}  // namespace halogen::compute
