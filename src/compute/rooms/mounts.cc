#include "compute/rooms/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "base/error.h"

namespace halogen::compute {
namespace {

constexpr uint64_t kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr uint64_t kShown = kPlain | MOUNT_ATTR_RDONLY;
constexpr unsigned long kOwnMount = MS_NOSUID | MS_NODEV | MS_NOEXEC;
// Memory, not disk. Parallel queries share what they hash in /dev/shm.
constexpr const char* kTmpOptions = "mode=1777,size=64m,nr_inodes=4096";
constexpr const char* kShmOptions = "mode=1777,size=25%,nr_inodes=4096";

uint32_t slots_of(const RoomsPlan& plan) { return plan.users.empty() ? 1 : plan.users.count; }

void must(bool done, const fs::path& what) {
  if (!done) throw system_error(errno, what.string());
}

// `depth`: AT_RECURSIVE, or 0 for what is mounted there itself.
UniqueFd clone_tree(const fs::path& source, unsigned depth) {
  UniqueFd tree(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | depth));
  must(tree.valid(), source);
  return tree;
}

void attach(const UniqueFd& tree, const fs::path& target, uint64_t attributes) {
  mount_attr wanted{};
  wanted.attr_set = attributes;
  wanted.propagation = MS_PRIVATE;
  must(::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &wanted, sizeof wanted) == 0,
       target);
  must(::move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0,
       target);
}

void bind(const fs::path& source, const fs::path& target, uint64_t attributes) {
  attach(clone_tree(source, AT_RECURSIVE), target, attributes);
}

void mount_own(const char* type, const fs::path& target, unsigned long flags, const char* options) {
  must(::mount(type, target.c_str(), type, flags, options) == 0, target);
}

void make_folder(const fs::path& path) { must(::mkdir(path.c_str(), 0755) == 0, path); }

// A user namespace in which the owner's id is `user`'s, for a mount's mapping.
UniqueFd id_mapping(const User& owner, const User& user) {
  pid_t holder = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  must(holder >= 0, "clone");
  if (holder == 0) {
    for (;;) ::pause();
  }
  auto map = [&](const char* file, id_t from, id_t to) {
    tell_kernel(fmt::format("/proc/{}/{}", holder, file), fmt::format("{} {} 1\n", from, to));
  };
  UniqueFd mapping;
  try {
    map("uid_map", owner.uid, user.uid);
    map("gid_map", owner.gid, user.gid);
    mapping = open_file(fmt::format("/proc/{}/ns/user", holder), O_RDONLY);
  } catch (...) {
    ::kill(holder, SIGKILL);
    ::waitpid(holder, nullptr, 0);
    throw;
  }
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  return mapping;
}

// The rooms' folder with other owners. Returns an invalid one if the file system cannot do that.
UniqueFd mapped_rooms(const RoomsPlan& plan, const User& user) {
  UniqueFd mapping = id_mapping(plan.owner, user);
  UniqueFd tree = clone_tree(plan.rooms, 0);
  mount_attr wanted{};
  wanted.attr_set = MOUNT_ATTR_IDMAP;
  wanted.userns_fd = static_cast<uint64_t>(mapping.get());
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &wanted, sizeof wanted) != 0)
    return UniqueFd();
  return tree;
}

// /bin is a link to /usr/bin, or a folder on older systems; likewise the others.
void show_system(const fs::path& root) {
  for (const char* name : {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}) {
    fs::path path = fs::path("/") / name;
    std::error_code none;
    if (fs::is_symlink(path, none)) {
      fs::create_symlink(fs::read_symlink(path), root / name);
    } else if (fs::is_directory(path, none)) {
      make_folder(root / name);
      bind(path, root / name, kShown);
    }
  }
}

void copy_if_there(const fs::path& from, const fs::path& to) {
  std::error_code none;
  if (fs::is_regular_file(from, none)) write_file(to, read_file(from), 0644);
}

void show_if_there(const fs::path& root, const fs::path& path) {
  std::error_code none;
  if (!fs::is_directory(path, none)) return;
  fs::create_directories(root / path.relative_path());
  bind(path, root / path.relative_path(), kShown | MOUNT_ATTR_NOEXEC);
}

// What /etc/passwd and /etc/group say of the rooms' users.
void name_users(const fs::path& etc, const RoomsPlan& plan) {
  std::string users, groups;
  for (uint32_t slot = 0; slot < slots_of(plan); ++slot) {
    User user = plan.users.empty() ? plan.owner : plan.users.at(slot);
    users += fmt::format("compute{0}:x:{0}:{1}::{2}:/usr/sbin/nologin\n", user.uid, user.gid,
                         kInsideData);
    groups += fmt::format("compute{0}:x:{0}:\n", user.gid);
  }
  write_file(etc / "passwd", users, 0644);
  write_file(etc / "group", groups, 0644);
}

// The machine's that a room with a network can reach: by IPv4, not on the machine's loopback.
// systemd-resolved is there, but says whom it asks itself.
std::string name_servers() {
  std::string found;
  for (const char* file : {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}) {
    std::error_code none;
    if (!found.empty() || !fs::is_regular_file(file, none)) continue;
    std::istringstream lines(read_file(file));
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("nameserver ") && !line.starts_with("nameserver 127.") &&
          line.find(':') == std::string::npos)
        found += line + "\n";
  }
  return found;
}

void make_etc(const fs::path& root, const RoomsPlan& plan) {
  const fs::path etc = root / "etc";
  make_folder(etc);
  name_users(etc, plan);
  write_file(etc / "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n", 0644);
  write_file(etc / "resolv.conf", name_servers(), 0644);
  write_file(etc / "hosts", "127.0.0.1 localhost\n::1 localhost\n", 0644);
  make_folder(etc / "ssl");
  for (const char* file : {"ld.so.cache", "localtime", "ssl/openssl.cnf"})
    copy_if_there(fs::path("/etc") / file, etc / file);
  // Certificate authorities, which program stands for a name, Perl's own, dictionaries of searches.
  for (const char* folder :
       {"/etc/ssl/certs", "/etc/alternatives", "/etc/perl", "/var/cache/postgresql"})
    show_if_there(root, folder);
}

void make_dev(const fs::path& root) {
  const fs::path dev = root / "dev";
  make_folder(dev);
  make_folder(dev / "shm");
  for (const char* name : {"null", "zero", "full", "random", "urandom"}) {
    write_file(dev / name, "");
    bind(fs::path("/dev") / name, dev / name, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  }
  fs::create_symlink("/proc/self/fd", dev / "fd");
  fs::create_symlink("/proc/self/fd/0", dev / "stdin");
  fs::create_symlink("/proc/self/fd/1", dev / "stdout");
  fs::create_symlink("/proc/self/fd/2", dev / "stderr");
}

void make_slots(const fs::path& root, const RoomsPlan& plan) {
  make_folder(root / "slots");
  for (uint32_t slot = 0; slot < slots_of(plan); ++slot) {
    fs::path place = root / "slots" / std::to_string(slot);
    make_folder(place);
    UniqueFd tree =
        plan.users.empty() ? clone_tree(plan.rooms, 0) : mapped_rooms(plan, plan.users.at(slot));
    must(tree.valid(), "mapping of ids");
    attach(tree, place, kPlain | MOUNT_ATTR_NOEXEC);
  }
}

void change_root(const fs::path& root) {
  must(::chdir(root.c_str()) == 0, root);
  must(::syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  must(::umount2(".", MNT_DETACH) == 0, "the old root");
  must(::chdir("/") == 0, "/");
}

}  // namespace

void tell_kernel(const fs::path& file, std::string_view text) {
  write_all(open_file(file, O_WRONLY).get(), as_bytes(text));
}

bool can_map_ids(const RoomsPlan& plan) {
  try {
    return mapped_rooms(plan, User{plan.owner.uid + 1, plan.owner.gid + 1}).valid();
  } catch (const Error&) {
    return false;
  }
}

void enter_rooms_root(const RoomsPlan& plan) {
  ::umask(022);
  must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
  const fs::path root = plan.rooms / kRootFolder;
  mount_own("tmpfs", root, MS_NOSUID, "mode=755,size=8m");
  show_system(root);
  make_etc(root, plan);
  make_dev(root);
  for (const char* name : {"tmp", "proc"}) make_folder(root / name);
  for (const char* path : {kInsideData, kInsideConfig, kInsideLibraries, kInsidePages})
    make_folder(root / fs::path(path).relative_path());
  bind(plan.libraries, root / fs::path(kInsideLibraries).relative_path(), kShown);
  bind(plan.pages, root / fs::path(kInsidePages).relative_path(), kShown | MOUNT_ATTR_NOEXEC);
  const fs::path marker = root / fs::path(kInsideMarker).relative_path();
  write_file(marker, "");
  bind(plan.marker, marker, kShown | MOUNT_ATTR_NOEXEC);
  // Without a whole one in sight the kernel lets no room have one of its own, which covers this.
  bind("/proc", root / "proc", kPlain | MOUNT_ATTR_NOEXEC);
  make_slots(root, plan);
  change_root(root);
  must(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, nullptr) == 0,
       "a read-only root");
}

void furnish_room(uint32_t slot, const std::string& id) {
  const fs::path room = fs::path("/slots") / std::to_string(slot) / id;
  bind(room / kRoomData, kInsideData, kPlain | MOUNT_ATTR_NOEXEC);
  bind(room / kRoomConfig, kInsideConfig, kShown | MOUNT_ATTR_NOEXEC);
  mount_own("tmpfs", "/slots", kOwnMount | MS_RDONLY, "size=4k,nr_inodes=1");
  mount_own("tmpfs", "/tmp", kOwnMount, kTmpOptions);
  mount_own("tmpfs", "/dev/shm", kOwnMount, kShmOptions);
  // Linux before 5.8 cannot show the processes alone.
  if (::mount("proc", "/proc", "proc", kOwnMount, "subset=pid,hidepid=2") != 0)
    mount_own("proc", "/proc", kOwnMount, "hidepid=2");
  must(::sethostname("compute", 7) == 0, "the host's name");
  must(::chdir(kInsideData) == 0, kInsideData);
}

}  // namespace halogen::compute
