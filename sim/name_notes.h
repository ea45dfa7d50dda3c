// name_notes.h: which names in folders were made, moved or removed and not synced since.
//
// What loses its name is moved to a folder of its own until that is synced, so it can come back and
// its inode is not used again. Not thread-safe.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <list>
#include <set>
#include <string>

#include "sim/sector_notes.h"

namespace halogen::sim {

// A name in a folder; the folder by its inode, since it may be moved, too.
struct Name {
  ino_t folder = 0;
  std::string name;
};

class NameNotes {
 public:
  struct Change {
    enum class Kind { made, removed, moved };
    Kind kind;
    Name name;
    Name from;        // Of what was moved.
    ino_t inode = 0;  // Of what was made or moved.
    std::string id;
    std::set<ino_t> unsynced;  // The folders.
  };

  // Reads what earlier processes have noted.
  explicit NameNotes(const std::filesystem::path& state);

  // After something was made.
  void made(const Name& name, ino_t inode);
  // Before something is removed or moved. Returns where to what loses its name is to be moved.
  std::filesystem::path removing(const Name& name);
  std::filesystem::path moving(const Name& from, const Name& name, ino_t inode);
  // The last one did not come about.
  void failed();
  // Returns the inodes of what is now gone for good.
  std::set<ino_t> synced(ino_t folder);

  // Takes back, in each folder, all unsynced changes from a random one on.
  void lose(const std::filesystem::path& root, Random& random);

 private:
  class Folders;
  std::filesystem::path saved(const std::string& id) const { return state_ / "saved" / id; }
  const Change& add(Change change);
  void log(const std::string& line) const;
  void read_log();
  std::list<Change> take_synced(ino_t folder);
  void forget(const Change& change, std::set<ino_t>& gone);
  void take_back(const Change& change, Folders& folders) const;

  const std::filesystem::path state_;
  std::list<Change> changes_;
  uint64_t next_id_ = 0;
};

}  // namespace halogen::sim
