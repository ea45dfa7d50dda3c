#include "safekeeper/segment_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/error.h"

namespace halogen::safekeeper {
namespace {

constexpr size_t kZerosSize = 1u << 20;
constexpr const char* kUnfinished = ".new";

Bytes zeros() {
  static const std::vector<std::byte> kZeros(kZerosSize);
  return kZeros;
}

uint64_t offset_in_segment(Lsn lsn) { return lsn.value % kWalSegmentSize; }

void write_zeros(int fd, uint64_t from, uint64_t to) {
  while (from < to) {
    size_t size = std::min<uint64_t>(kZerosSize, to - from);
    pwrite_all(fd, zeros().first(size), from);
    from += size;
  }
}

// As much of `into` as the file has at `offset`.
size_t read_some(int fd, std::span<std::byte> into, uint64_t offset) {
  size_t done = 0;
  while (done < into.size()) {
    ssize_t got =
        ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(errno, "read of a WAL segment");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

std::optional<Lsn> parse_name(const std::string& name) {
  if (name.size() != 24 || !name.starts_with("00000001")) return std::nullopt;
  if (name.find_first_not_of("0123456789ABCDEF") != std::string::npos) return std::nullopt;
  uint64_t high = std::stoull(name.substr(8, 8), nullptr, 16);
  uint64_t low = std::stoull(name.substr(16, 8), nullptr, 16);
  return Lsn((high << 32) + low * kWalSegmentSize);
}

}  // namespace

// Without waiting for a compute that has a lease on it.
UniqueFd SegmentFiles::open(Lsn lsn, int flags) const {
  return open_file(path(lsn), flags | O_NONBLOCK);
}

UniqueFd SegmentFiles::open_or_create(Lsn lsn) const {
  UniqueFd fd = open_file(path(lsn), O_RDWR | O_CREAT | O_NONBLOCK);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw system_error(errno, path(lsn).string());
  if (status.st_size == kWalSegmentSize) return fd;
  if (::ftruncate(fd.get(), kWalSegmentSize) != 0) throw system_error(errno, path(lsn).string());
  fsync_or_die(fd.get(), path(lsn).string());
  fsync_folder(folder_);
  return fd;
}

std::vector<Lsn> SegmentFiles::list() const {
  std::vector<Lsn> found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (std::optional<Lsn> lsn = parse_name(entry.path().filename().string()))
      found.push_back(*lsn);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void SegmentFiles::remove(Lsn lsn) const {
  if (::unlink(path(lsn).c_str()) != 0 && errno != ENOENT)
    throw system_error(errno, path(lsn).string());
}

void SegmentFiles::link(Lsn lsn, int folder) const {
  open_or_create(lsn);
  const std::string name = wal_segment_name(lsn, kWalSegmentSize);
  auto give_name = [&] {
    return ::linkat(AT_FDCWD, path(lsn).c_str(), folder, name.c_str(), 0) == 0;
  };
  if (give_name()) return;
  if (errno == EEXIST && ::unlinkat(folder, name.c_str(), 0) == 0 && give_name()) return;
  throw system_error(errno, path(lsn).string());
}

bool SegmentFiles::linked_elsewhere(Lsn lsn) const {
  struct stat status{};
  return ::stat(path(lsn).c_str(), &status) == 0 && status.st_nlink > 1;
}

// The same up to `end` in a file of its own.
void SegmentFiles::renew(Lsn end) const {
  fs::path made = path(end);
  made += kUnfinished;
  UniqueFd fd = open_file(made, O_RDWR | O_CREAT | O_TRUNC);
  if (::ftruncate(fd.get(), kWalSegmentSize) != 0) throw system_error(errno, made.string());
  std::string kept(offset_in_segment(end), '\0');
  const size_t got = read(segment_of(end), std::as_writable_bytes(std::span(kept)));
  pwrite_all(fd.get(), as_bytes(kept).first(got), 0);
  fsync_or_die(fd.get(), made.string());
  fs::rename(made, path(end));
  fsync_folder(folder_);
}

Lsn SegmentFiles::end_at(Lsn end) const {
  if (!linked_elsewhere(end)) return zero_rest(end);
  renew(end);
  return end;
}

void SegmentFiles::remove_unfinished() const {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder_))
    if (entry.path().extension() == kUnfinished) found.push_back(entry.path());
  for (const fs::path& path : found) fs::remove(path);
}

size_t SegmentFiles::read(Lsn from, std::span<std::byte> into) const {
  UniqueFd fd;
  try {
    fd = open(from, O_RDONLY);
  } catch (const Error& error) {
    if (error.code() == Errc::not_found) return 0;
    throw;
  }
  size_t size = std::min<uint64_t>(into.size(), kWalSegmentSize - offset_in_segment(from));
  return read_some(fd.get(), into.first(size), offset_in_segment(from));
}

void SegmentFiles::sync(Lsn lsn) const {
  fdatasync_or_die(open(lsn, O_RDWR).get(), path(lsn).string());
}

template <typename Action>
void SegmentFiles::each_segment(Lsn from, Lsn to, Action action) const {
  while (from < to) {
    Lsn next = std::min(to, segment_of(from) + kWalSegmentSize);
    uint64_t begin = offset_in_segment(from);
    action(from, begin, begin + (next - from));
    from = next;
  }
}

void SegmentFiles::allocate(Lsn from, Lsn to) const {
  each_segment(from, to, [this](Lsn at, uint64_t begin, uint64_t end) {
    UniqueFd fd = open_or_create(at);
    // Reserves the room first: where this fails nothing has been promised, and the fdatasync below
    // cannot fail for want of it.
    int failed =
        ::posix_fallocate(fd.get(), static_cast<off_t>(begin), static_cast<off_t>(end - begin));
    if (failed != 0) throw system_error(failed, path(at).string());
    write_zeros(fd.get(), begin, end);
    fdatasync_or_die(fd.get(), path(at).string());
  });
}

void SegmentFiles::zero(Lsn from, Lsn to) const {
  each_segment(from, to, [this](Lsn at, uint64_t begin, uint64_t end) {
    if (!fs::exists(path(at))) return;
    UniqueFd fd = open(at, O_RDWR);
    write_zeros(fd.get(), begin, end);
    fdatasync_or_die(fd.get(), path(at).string());
  });
}

// Calls take(offset, size) for each piece of the segment from `from` on that holds other than
// zeros, until it returns false.
template <typename Take>
void SegmentFiles::each_nonzero_piece(int fd, Lsn from, Take take) const {
  uint64_t at = offset_in_segment(from);
  while (at < kWalSegmentSize) {
    off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0) break;  // Only a hole is left.
    at = static_cast<uint64_t>(data);
    if (at >= kWalSegmentSize) break;
    size_t size = std::min<uint64_t>(kZerosSize, kWalSegmentSize - at);
    std::string piece(size, '\0');
    read_some(fd, std::as_writable_bytes(std::span(piece)), at);
    bool nonzero = piece.find_first_not_of('\0') != std::string::npos;
    if (nonzero && !take(at, size)) break;
    at += size;
  }
}

bool SegmentFiles::has_data(Lsn from) const {
  if (!fs::exists(path(from))) return false;
  bool found = false;
  each_nonzero_piece(open(from, O_RDONLY).get(), from, [&](uint64_t, size_t) {
    found = true;
    return false;
  });
  return found;
}

Lsn SegmentFiles::zero_rest(Lsn from) const {
  if (!fs::exists(path(from))) return from;
  UniqueFd fd = open(from, O_RDWR);
  bool changed = false;
  each_nonzero_piece(fd.get(), from, [&](uint64_t at, size_t size) {
    write_zeros(fd.get(), at, at + size);
    return changed = true;
  });
  if (changed) fdatasync_or_die(fd.get(), path(from).string());
  const off_t hole = ::lseek(fd.get(), static_cast<off_t>(offset_in_segment(from)), SEEK_HOLE);
  if (hole < 0) return from;
  return segment_of(from) + std::min<uint64_t>(static_cast<uint64_t>(hole), kWalSegmentSize);
}

}  // namespace halogen::safekeeper
