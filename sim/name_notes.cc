#include "sim/name_notes.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <vector>

#include "sim/raw.h"

namespace halogen::sim {
namespace {

namespace fs = std::filesystem;

std::optional<ino_t> inode_of(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return status.st_ino;
}

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream in(line);
  for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
  return fields;
}

void remove_for_good(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

}  // namespace

// Where the folders are now.
class NameNotes::Folders {
 public:
  explicit Folders(fs::path root) : root_(std::move(root)) {}

  std::optional<fs::path> find(ino_t inode) {
    auto known = paths_.find(inode);
    if (known == paths_.end() || inode_of(known->second) != inode) {
      paths_.clear();
      paths_[inode_of(root_).value_or(0)] = root_;
      for (const auto& entry : fs::recursive_directory_iterator(root_))
        if (entry.is_directory()) paths_[inode_of(entry.path()).value_or(0)] = entry.path();
      known = paths_.find(inode);
    }
    return known == paths_.end() ? std::nullopt : std::optional(known->second);
  }
  std::optional<fs::path> path_of(const Name& name) {
    std::optional<fs::path> folder = find(name.folder);
    return folder ? std::optional(*folder / name.name) : std::nullopt;
  }

 private:
  const fs::path root_;
  FilesByInode paths_;
};

NameNotes::NameNotes(const fs::path& state) : state_(state) { read_log(); }

void NameNotes::read_log() {
  std::ifstream in(state_ / "names");
  for (std::string line; std::getline(in, line);) {
    std::vector<std::string> f = fields_of(line);
    if (f[0] == "synced") {
      take_synced(std::stoull(f[1]));
    } else if (f[0] == "failed") {
      changes_.remove_if([&](const Change& change) { return change.id == f[1]; });
    } else {
      Change change{.kind = static_cast<Change::Kind>(std::stoi(f[2])),
                    .name = {std::stoull(f[3]), f[4]},
                    .from = {std::stoull(f[5]), f[6] == "-" ? "" : f[6]},
                    .inode = std::stoull(f[7]),
                    .id = f[1],
                    .unsynced = {}};
      change.unsynced = {change.name.folder};
      if (change.from.folder != 0) change.unsynced.insert(change.from.folder);
      changes_.push_back(std::move(change));
    }
  }
}

void NameNotes::log(const std::string& line) const {
  const fs::path path = state_ / "names";
  int fd = raw::open_notes(path, O_WRONLY | O_APPEND);
  if (raw::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) give_up(path);
  ::close(fd);
}

const NameNotes::Change& NameNotes::add(Change change) {
  change.id = std::to_string(::getpid()) + "-" + std::to_string(next_id_++);
  change.unsynced = {change.name.folder};
  if (change.from.folder != 0) change.unsynced.insert(change.from.folder);
  std::ostringstream line;
  line << "change\t" << change.id << '\t' << static_cast<int>(change.kind) << '\t'
       << change.name.folder << '\t' << change.name.name << '\t' << change.from.folder << '\t'
       << (change.from.name.empty() ? "-" : change.from.name) << '\t' << change.inode << '\n';
  log(line.str());
  changes_.push_back(std::move(change));
  return changes_.back();
}

void NameNotes::made(const Name& name, ino_t inode) {
  add({.kind = Change::Kind::made,
       .name = name,
       .from = {},
       .inode = inode,
       .id = {},
       .unsynced = {}});
}

fs::path NameNotes::removing(const Name& name) {
  return saved(add({.kind = Change::Kind::removed,
                    .name = name,
                    .from = {},
                    .inode = 0,
                    .id = {},
                    .unsynced = {}})
                   .id);
}

fs::path NameNotes::moving(const Name& from, const Name& name, ino_t inode) {
  return saved(add({.kind = Change::Kind::moved,
                    .name = name,
                    .from = from,
                    .inode = inode,
                    .id = {},
                    .unsynced = {}})
                   .id);
}

void NameNotes::failed() {
  log("failed\t" + changes_.back().id + "\n");
  changes_.pop_back();
}

std::set<ino_t> NameNotes::synced(ino_t folder) {
  std::set<ino_t> gone;
  const bool any = std::any_of(changes_.begin(), changes_.end(), [&](const Change& change) {
    return change.unsynced.contains(folder);
  });
  if (!any) return gone;
  log("synced\t" + std::to_string(folder) + "\n");
  for (const Change& change : take_synced(folder)) forget(change, gone);
  return gone;
}

std::list<NameNotes::Change> NameNotes::take_synced(ino_t folder) {
  std::list<Change> all_synced;
  for (auto change = changes_.begin(); change != changes_.end();) {
    auto next = std::next(change);
    change->unsynced.erase(folder);
    if (change->unsynced.empty()) all_synced.splice(all_synced.end(), changes_, change);
    change = next;
  }
  return all_synced;
}

// What the change took away is gone for good; so is, with a folder, all that was in it, before its
// inode is another one's.
void NameNotes::forget(const Change& change, std::set<ino_t>& gone) {
  const fs::path lost = saved(change.id);
  std::optional<ino_t> inode = inode_of(lost);
  if (!inode) return;
  gone.insert(*inode);
  const bool is_folder = fs::is_directory(lost);
  remove_for_good(lost);
  if (!is_folder) return;
  log("synced\t" + std::to_string(*inode) + "\n");
  for (const Change& within : take_synced(*inode)) forget(within, gone);
}

void NameNotes::take_back(const Change& change, Folders& folders) const {
  std::optional<fs::path> path = folders.path_of(change.name);
  if (!path) return;  // Its folder is gone, and all in it.
  if (change.kind != Change::Kind::removed) {
    if (inode_of(*path) != change.inode) return;  // It was killed before, or this is another one.
    if (change.kind == Change::Kind::made) return remove_for_good(*path);
    std::optional<fs::path> from = folders.path_of(change.from);
    if (!from) return;
    if (raw::rename(AT_FDCWD, path->c_str(), AT_FDCWD, from->c_str()) != 0) give_up(*path);
  }
  const fs::path lost = saved(change.id);
  if (inode_of(lost) && raw::rename(AT_FDCWD, lost.c_str(), AT_FDCWD, path->c_str()) != 0)
    give_up(*path);
}

void NameNotes::lose(const fs::path& root, Random& random) {
  const double lost = std::discrete_distribution<int>({2, 3, 1, 1, 3})(random) * 0.25;
  std::bernoulli_distribution begins(lost);
  std::set<ino_t> cut;  // Folders of which nothing more survives.
  std::vector<const Change*> taken_back;
  for (const Change& change : changes_) {
    bool lose = begins(random);
    for (ino_t folder : {change.name.folder, change.from.folder})
      lose = lose || (folder != 0 && cut.contains(folder));
    if (!lose) continue;
    cut.insert({change.name.folder, change.from.folder});
    taken_back.push_back(&change);
  }
  Folders folders(root);
  for (auto change = taken_back.rbegin(); change != taken_back.rend(); ++change)
    take_back(**change, folders);
  changes_.clear();
  for (const auto& entry : fs::directory_iterator(state_ / "saved")) remove_for_good(entry.path());
  raw::unlinkat(AT_FDCWD, (state_ / "names").c_str(), 0);
}

}  // namespace halogen::sim
