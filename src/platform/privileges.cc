#include "platform/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::platform {
namespace {

constexpr rlim_t kWantedFiles = 65'536;

struct User {
  uid_t uid;
  gid_t gid;
  std::string name;
  std::string folder;
};

User to_user(const passwd& entry) {
  return {entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir};
}

User service_user(const fs::path& home) {
  struct stat info{};
  if (::stat(home.c_str(), &info) == 0 && info.st_uid != 0)
    if (const passwd* owner = ::getpwuid(info.st_uid)) return to_user(*owner);
  for (const char* name : {"halogen", "postgres"})
    if (const passwd* entry = ::getpwnam(name)) return to_user(*entry);
  throw Error(Errc::permission_denied,
              "Postgres does not run as root, and there is no system user for it. Make one with: "
              "useradd --system --no-create-home --home-dir /var/lib/halogen halogen");
}

void give(const fs::path& path, const User& user) {
  if (::lchown(path.c_str(), user.uid, user.gid) != 0) throw system_error(errno, path.string());
}

void give_all(const fs::path& folder, const User& user) {
  if (!fs::exists(folder)) return;
  give(folder, user);
  for (const auto& entry : fs::recursive_directory_iterator(folder)) give(entry.path(), user);
}

// Root's part: the folder exists and belongs to the user.
void prepare_home(const fs::path& home, const User& user) {
  struct stat info{};
  if (::stat(home.c_str(), &info) == 0 && info.st_uid == user.uid) return;
  bool ours = fs::is_empty(home) || fs::exists(home / "platform.lock");
  if (!ours)
    throw Error(Errc::permission_denied,
                "{} belongs to root and has files in it: choose another HALOGEN_HOME, or give it "
                "away with: chown -R {} {}",
                home.string(), user.name, home.string());
  give_all(home, user);
}

void become(const User& user) {
  if (::setgroups(0, nullptr) != 0 || ::setgid(user.gid) != 0 || ::setuid(user.uid) != 0)
    throw system_error(errno, "cannot become user " + user.name);
  if (::setuid(0) == 0) die("privileges were not given up");
  ::setenv("HOME", user.folder.c_str(), 1);
  ::setenv("USER", user.name.c_str(), 1);
  ::setenv("LOGNAME", user.name.c_str(), 1);
  if (::chdir("/") != 0) throw system_error(errno, "/");
}

void check_usable(const fs::path& home) {
  if (::access(home.c_str(), R_OK | W_OK | X_OK) == 0) return;
  const passwd* user = ::getpwuid(::geteuid());
  throw Error(Errc::permission_denied,
              "{} cannot be used by user {}: it, or a folder above it, does not let that user in. "
              "Set HALOGEN_HOME to a folder that does",
              home.string(), user ? user->pw_name : "?");
}

}  // namespace

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWantedFiles) return;
  rlimit wanted{kWantedFiles, std::max(limit.rlim_max, kWantedFiles)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  limit.rlim_cur = std::min(limit.rlim_max, kWantedFiles);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void make_private_folder(const fs::path& path, const Owner& owner) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    if (::chown(path.c_str(), owner.uid, owner.gid) != 0) throw system_error(errno, path.string());
  } else if (errno != EEXIST) {
    throw system_error(errno, path.string());
  }
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) throw system_error(errno, path.string());
  // Outside the home anyone could have made it before us.
  if (!S_ISDIR(info.st_mode) || info.st_uid != owner.uid)
    throw Error(Errc::permission_denied,
                "{} belongs to somebody else: remove it, or set another HALOGEN_HOME",
                path.string());
  if (::chmod(path.c_str(), 0700) != 0) throw system_error(errno, path.string());
}

void take_home(const fs::path& home, const std::function<void(const Owner&)>& last_as_root) {
  std::error_code problem;
  fs::path made_in = home;  // The folder above all that is made here.
  while (!fs::exists(made_in, problem) && made_in.has_relative_path())
    made_in = made_in.parent_path();
  bool made = fs::create_directories(home, problem);
  if (problem)
    throw Error(Errc::io, "cannot make {}: {}. Set HALOGEN_HOME to a folder you may write to",
                home.string(), problem.message());
  if (made) ::chmod(home.c_str(), 0711);  // Clients read the CA file; the rest is closed.
  for (fs::path made_now = home; made_now != made_in; made_now = made_now.parent_path())
    fsync_folder(made_now.parent_path());
  if (::geteuid() == 0) {
    User user = service_user(home);
    prepare_home(home, user);
    raise_file_limit();
    last_as_root({user.uid, user.gid});
    give_all(home / "lib", user);
    become(user);
    check_usable(home);
  } else {
    check_usable(home);
    raise_file_limit();
    last_as_root({::geteuid(), ::getegid()});
  }
}

void close_process() {
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) throw system_error(errno, "PR_SET_DUMPABLE");
  // One byte and not none: a limit of zero does not stop the kernel from handing a core to a
  // program (kernel.core_pattern with a pipe), one of a byte does.
  const rlimit no_core{1, 1};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) throw system_error(errno, "RLIMIT_CORE");
}

fs::path copy_libraries(const fs::path& from, const std::vector<std::string>& names,
                        const fs::path& home) {
  std::vector<std::string> contents;
  uint32_t build = 0;
  for (const std::string& name : names) {
    contents.push_back(read_file(from / name));
    build = crc32c_extend(build, as_bytes(contents.back()));
  }
  fs::path to = home / "lib" / fmt::format("{:08x}", build);
  std::error_code problem;
  fs::create_directories(to, problem);
  if (problem) throw Error(Errc::io, "cannot make {}: {}", to.string(), problem.message());
  // Computes load them, as users of their own.
  for (const fs::path& folder : {to.parent_path(), to}) ::chmod(folder.c_str(), 0755);
  for (size_t i = 0; i < names.size(); ++i) {
    std::error_code ignored;
    if (fs::file_size(to / names[i], ignored) != contents[i].size())
      write_file_durably(to / names[i], contents[i], 0755);
    ::chmod((to / names[i]).c_str(), 0755);
  }
  return to;
}

}  // namespace halogen::platform
