#include "sim/sector_notes.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <optional>
#include <set>
#include <vector>

#include "sim/raw.h"

namespace halogen::sim {
namespace {

namespace fs = std::filesystem;

// In a file of notes: followed by `size` bytes, unless all were zeros or it is about the length.
struct Note {
  enum class Kind : uint64_t { length, zeros, bytes };
  Kind kind;
  uint64_t at;  // Of the first byte; or the length.
  uint64_t size;
};

struct stat status_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) give_up("fstat");
  return status;
}

// As much as there is; the rest zeros. The descriptor may be one for writing only.
std::string old_bytes(int fd, uint64_t at, uint64_t size) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  int reader = raw::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (reader < 0) give_up(path);
  std::string out(size, '\0');
  size_t have = 0;
  while (have < size) {
    ssize_t got = ::pread(reader, out.data() + have, size - have, static_cast<off_t>(at + have));
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  ::close(reader);
  return out;
}

void append(const fs::path& path, const std::string& bytes) {
  int fd = raw::open_notes(path, O_WRONLY | O_APPEND);
  if (raw::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    give_up(path);
  ::close(fd);
}

std::string encode(const Note& note, const std::string& bytes = {}) {
  return std::string(reinterpret_cast<const char*>(&note), sizeof note) + bytes;
}

}  // namespace

fs::path SectorNotes::notes_of(ino_t inode) const { return folder_ / std::to_string(inode); }

void SectorNotes::note(int fd, ino_t inode, uint64_t at, uint64_t end, uint64_t old_size) {
  std::string notes = encode({Note::Kind::length, old_size, 0});
  const uint64_t from = at / kSector * kSector;
  const uint64_t to = (end + kSector - 1) / kSector * kSector;
  if (from < to) {
    std::string bytes = old_bytes(fd, from, to - from);
    if (bytes.find_first_not_of('\0') == std::string::npos)
      notes += encode({Note::Kind::zeros, from, to - from});
    else
      notes += encode({Note::Kind::bytes, from, to - from}, bytes);
  }
  append(notes_of(inode), notes);
}

void SectorNotes::before_write(int fd, uint64_t at, uint64_t size) {
  const struct stat status = status_of(fd);
  note(fd, status.st_ino, at, at + size, static_cast<uint64_t>(status.st_size));
}

void SectorNotes::before_resize(int fd, uint64_t size) {
  const struct stat status = status_of(fd);
  const auto old_size = static_cast<uint64_t>(status.st_size);
  note(fd, status.st_ino, size, std::max(size, old_size), old_size);
}

void SectorNotes::synced(ino_t inode) { raw::unlinkat(AT_FDCWD, notes_of(inode).c_str(), 0); }

// What became of one file.
class SectorNotes::Lost {
 public:
  explicit Lost(const fs::path& notes) {
    std::ifstream in(notes, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    for (size_t at = 0; at + sizeof(Note) <= bytes_.size();) {
      Note note;
      std::memcpy(&note, bytes_.data() + at, sizeof note);
      at += sizeof note;
      if (note.kind == Note::Kind::length) {
        lengths_.push_back(note.at);
        continue;
      }
      for (uint64_t i = 0; i < note.size; i += kSector)
        versions_[note.at + i].push_back(
            note.kind == Note::Kind::zeros ? std::nullopt : std::optional<size_t>(at + i));
      if (note.kind == Note::Kind::bytes) at += note.size;
    }
  }

  void apply(const fs::path& file, Random& random) const {
    int fd = raw::openat(AT_FDCWD, file.c_str(), O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) give_up(file);
    // Nothing unsynced survives, everything does, or some.
    const double kept = std::discrete_distribution<int>({4, 1, 3, 1, 1})(random) * 0.25;
    std::bernoulli_distribution keeps(kept);
    // The first note tells what was synced, later ones what was written over in between.
    if (!lengths_.empty() && !keeps(random)) {
      if (raw::ftruncate(fd, static_cast<off_t>(one_of(lengths_, random))) != 0) give_up(file);
    }
    const auto length = static_cast<uint64_t>(status_of(fd).st_size);
    for (const auto& [at, versions] : versions_) {
      if (at >= length || keeps(random)) continue;
      const std::optional<size_t> version = one_of(versions, random);
      const std::string old = version ? bytes_.substr(*version, kSector) : std::string(kSector, 0);
      const size_t size = std::min(kSector, length - at);
      if (raw::pwrite(fd, old.data(), size, static_cast<off_t>(at)) < 0) give_up(file);
    }
    ::close(fd);
  }

 private:
  template <typename T>
  static T one_of(const std::vector<T>& versions, Random& random) {
    if (random() % 4 != 0) return versions.front();
    return versions[random() % versions.size()];
  }

  std::string bytes_;
  std::vector<uint64_t> lengths_;
  std::map<uint64_t, std::vector<std::optional<size_t>>> versions_;  // None: zeros.
};

void SectorNotes::lose(const FilesByInode& files, Random& random) {
  std::set<fs::path> all;  // In one order, so that a seed says everything.
  for (const auto& entry : fs::directory_iterator(folder_)) all.insert(entry.path());
  std::map<std::string, fs::path> by_path;
  for (const fs::path& notes : all) {
    auto file = files.find(std::stoull(notes.filename().string()));
    if (file != files.end()) by_path[file->second] = notes;
  }
  for (const auto& [file, notes] : by_path) Lost(notes).apply(file, random);
  for (const fs::path& notes : all) raw::unlinkat(AT_FDCWD, notes.c_str(), 0);
}

}  // namespace halogen::sim
