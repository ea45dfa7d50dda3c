#include "pageserver/redo/redo_directory.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <cstdlib>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "postgres/control_file.h"

namespace halogen::pageserver {
namespace {

// Line 7 of postmaster.pid: the segment's key and its id.
void remove_interlock_segment(const fs::path& pid_file) {
  std::error_code error;
  if (!fs::exists(pid_file, error)) return;
  std::istringstream lines(read_file(pid_file));
  std::string line;
  for (int i = 0; i < 7; ++i)
    if (!std::getline(lines, line)) return;
  std::istringstream words(line);
  unsigned long key;
  int id;
  shmid_ds state;
  // An id may have been used again since: then the key is another.
  if (words >> key >> id && shmctl(id, IPC_STAT, &state) == 0 &&
      static_cast<uint32_t>(state.shm_perm.__key) == static_cast<uint32_t>(key) &&
      state.shm_nattch == 0)
    shmctl(id, IPC_RMID, nullptr);
}

}  // namespace

void make_redo_directory(const fs::path& directory, int major) {
  std::string control = build_control_file(major, ControlFile{});
  if (mkdir(directory.c_str(), 0700) != 0) throw system_error(errno, directory.string());
  for (const char* folder : {"global", "pg_notify", "pg_dynshmem"})
    if (mkdir((directory / folder).c_str(), 0700) != 0) throw system_error(errno, folder);
  write_file(directory / "PG_VERSION", fmt::format("{}\n", major));
  write_file(directory / "postgresql.auto.conf", "");
  write_file(directory / "global" / "pg_control", control);
}

void remove_redo_directory(const fs::path& directory) {
  remove_interlock_segment(directory / "postmaster.pid");
  std::error_code error;
  fs::remove_all(directory, error);
  if (error) throw system_error(error.value(), directory.string());
}

}  // namespace halogen::pageserver
