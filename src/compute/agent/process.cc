#include "compute/agent/process.h"

// glibc 2.36 forgot to say that these are C.
extern "C" {
#include <sys/pidfd.h>
}

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <optional>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "compute/rooms/mounts.h"

namespace halogen::compute {
namespace {

std::string read_link(const std::string& path) {
  char target[PATH_MAX];
  ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : std::string();
}

bool at_or_below(const std::string& path, const std::string& folder) {
  if (!path.starts_with(folder)) return false;
  std::string_view rest = std::string_view(path).substr(folder.size());
  return rest.empty() || rest.front() == '/' || rest == " (deleted)";
}

// A replaced package leaves running processes with "/usr/.../postgres (deleted)".
bool runs_postgres(const std::string& exe) {
  std::string_view name = std::string_view(exe).substr(exe.rfind('/') + 1);
  return name == "postgres" || name == "postgres (deleted)";
}

std::optional<int> parse_pid(const char* name) {
  int pid = 0;
  auto [end, error] = std::from_chars(name, name + std::strlen(name), pid);
  if (error != std::errc() || *end != '\0' || pid <= 0) return std::nullopt;
  return pid;
}

// A pidfd if `pid` is one of ours, as the header says; else invalid.
UniqueFd recognise(int pid, const std::string& folder) {
  std::string process = "/proc/" + std::to_string(pid);
  if (!at_or_below(read_link(process + "/cwd"), folder)) return UniqueFd();
  UniqueFd pidfd = open_pidfd(pid);
  if (!pidfd.valid()) return UniqueFd();
  // Again, now that the pid cannot go to someone else unnoticed.
  struct stat status;
  if (::stat(process.c_str(), &status) != 0 || status.st_uid != ::geteuid()) return UniqueFd();
  if (!at_or_below(read_link(process + "/cwd"), folder)) return UniqueFd();
  if (!runs_postgres(read_link(process + "/exe"))) return UniqueFd();
  return pidfd;
}

struct FileId {
  dev_t device;
  ino_t inode;
  bool operator==(const FileId&) const = default;
};

std::optional<FileId> file_id(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

// A pidfd if a room's process, or its warden's, has this pid; else invalid.
UniqueFd recognise_room(int pid, const std::vector<FileId>& markers) {
  std::string marker = fmt::format("/proc/{}/root{}", pid, kInsideMarker);
  auto has_marker = [&] {
    std::optional<FileId> id = file_id(marker);
    return id && std::find(markers.begin(), markers.end(), *id) != markers.end();
  };
  if (!has_marker()) return UniqueFd();
  UniqueFd pidfd = open_pidfd(pid);
  return has_marker() ? std::move(pidfd) : UniqueFd();  // Again, as above.
}

template <typename Recognise>
std::vector<UniqueFd> find_all(Recognise recognise) {
  std::vector<UniqueFd> found;
  DIR* proc = ::opendir("/proc");
  if (proc == nullptr) throw system_error(errno, "/proc");
  while (dirent* entry = ::readdir(proc)) {
    auto pid = parse_pid(entry->d_name);
    if (!pid || *pid == ::getpid()) continue;
    UniqueFd pidfd = recognise(*pid);
    if (pidfd.valid()) found.push_back(std::move(pidfd));
  }
  ::closedir(proc);
  return found;
}

void wait_gone(const UniqueFd& pidfd, Deadline deadline) {
  pollfd poll{pidfd.get(), POLLIN, 0};
  while (::poll(&poll, 1, static_cast<int>(deadline.left().count())) <= 0)
    if (deadline.passed())
      throw Error(Errc::timed_out, "a killed postgres process does not go away (a hung disk?)");
}

template <typename Recognise>
int kill_all(Recognise recognise, Deadline deadline) {
  int killed = 0;
  // A process may have forked while we looked, so look until there is nobody left.
  for (;;) {
    std::vector<UniqueFd> found = find_all(recognise);
    if (found.empty()) return killed;
    for (const UniqueFd& pidfd : found) send_signal(pidfd, SIGKILL);
    for (const UniqueFd& pidfd : found) wait_gone(pidfd, deadline);
    killed += static_cast<int>(found.size());
  }
}

// PGShmemHeader, the same since 9.4.
struct SegmentHeader {
  int32_t magic;
  int32_t creator;
  uint64_t total_size;
  uint64_t free_offset;
  uint32_t dsm_control;
};
constexpr int32_t kSegmentMagic = 679834894;

// dsm_control_header of dsm.c.
struct DsmControl {
  uint32_t magic;
  uint32_t items;
  uint32_t max_items;
};
struct DsmItem {
  uint32_t handle;
  uint32_t references;
  uint64_t first_page;
  uint64_t pages;
  void* pinned_state;
  bool pinned;
};
constexpr uint32_t kDsmMagic = 0x9a503d32;

std::string dsm_name(uint32_t handle) { return "/PostgreSQL." + std::to_string(handle); }

void unlink_dynamic_segments(uint32_t control_handle) {
  std::string name = dsm_name(control_handle);
  UniqueFd fd(::shm_open(name.c_str(), O_RDONLY | O_CLOEXEC, 0));
  if (!fd.valid()) return;
  struct stat status;
  if (::fstat(fd.get(), &status) != 0 || status.st_uid != ::geteuid()) return;
  size_t size = static_cast<size_t>(status.st_size);
  std::string bytes(size, '\0');
  ssize_t got = ::pread(fd.get(), bytes.data(), size, 0);
  if (got < static_cast<ssize_t>(sizeof(DsmControl))) return;
  auto control = load<DsmControl>(bytes.data());
  if (control.magic != kDsmMagic) return;
  constexpr size_t kItems = 16;  // The header, padded to the items' alignment.
  for (uint32_t i = 0; i < control.items; ++i) {
    size_t at = kItems + i * sizeof(DsmItem);
    if (at + sizeof(DsmItem) > static_cast<size_t>(got)) break;
    auto item = load<DsmItem>(bytes.data() + at);
    if (item.references != 0) ::shm_unlink(dsm_name(item.handle).c_str());
  }
  ::shm_unlink(name.c_str());
}

// The seventh line of postmaster.pid is "<key> <id>" of the System V segment.
std::optional<int> segment_id(const fs::path& data_directory) {
  std::istringstream lines;
  try {
    lines.str(read_file(data_directory / "postmaster.pid"));
  } catch (const Error&) {
    return std::nullopt;
  }
  std::string line;
  for (int i = 0; i < 7; ++i)
    if (!std::getline(lines, line)) return std::nullopt;
  unsigned long key = 0;
  int id = -1;
  if (!(std::istringstream(line) >> key >> id)) return std::nullopt;
  return id;
}

}  // namespace

void refuse_root() {
  if (::geteuid() == 0)
    throw Error(Errc::permission_denied,
                "PostgreSQL does not run as root, so neither can the compute agent: start Halogen "
                "as an ordinary user");
}

int kill_postgres_in(const fs::path& folder, Deadline deadline) {
  // Whoever runs in a folder that is gone ("... (deleted)") must be found too.
  const std::string real = fs::weakly_canonical(folder);
  return kill_all([&](int pid) { return recognise(pid, real); }, deadline);
}

int kill_rooms(const std::vector<fs::path>& markers, Deadline deadline) {
  std::vector<FileId> ids;
  for (const fs::path& marker : markers)
    if (std::optional<FileId> id = file_id(marker)) ids.push_back(*id);
  if (ids.empty()) return 0;
  return kill_all([&](int pid) { return recognise_room(pid, ids); }, deadline);
}

UniqueFd open_pidfd(int pid) { return UniqueFd(::pidfd_open(pid, 0)); }

void send_signal(const UniqueFd& pidfd, int signal) {
  if (pidfd.valid()) ::pidfd_send_signal(pidfd.get(), signal, nullptr, 0);
}

void remove_shared_memory(const fs::path& data_directory) {
  std::optional<int> id = segment_id(data_directory);
  if (!id) return;
  shmid_ds status;
  if (::shmctl(*id, IPC_STAT, &status) != 0) return;
  if (status.shm_perm.uid != ::geteuid() || status.shm_nattch != 0) return;
  if (status.shm_segsz < sizeof(SegmentHeader)) return;
  void* address = ::shmat(*id, nullptr, SHM_RDONLY);
  if (address == reinterpret_cast<void*>(-1)) return;
  auto header = load<SegmentHeader>(address);
  ::shmdt(address);
  if (header.magic != kSegmentMagic) return;
  if (header.dsm_control != 0) unlink_dynamic_segments(header.dsm_control);
  ::shmctl(*id, IPC_RMID, nullptr);
}

std::string machine_boot_id() {
  std::string id = read_file("/proc/sys/kernel/random/boot_id");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

}  // namespace halogen::compute
