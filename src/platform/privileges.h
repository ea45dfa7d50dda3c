// privileges.h: Postgres never runs as root, so neither do we for longer than it takes to make a
// home for the user we become.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"

namespace halogen::platform {

// Whose files are made below the home.
struct Owner {
  uid_t uid;
  gid_t gid;
};

// Makes `home` if it is missing. As root: gives it to the system user `halogen` (or `postgres` if
// there is no such user; or whoever owns it already), runs `last_as_root`, and becomes that user
// for good; else just runs it. It is told that user. Before any thread. Throws permission_denied or
// io, saying what to do.
void take_home(const fs::path& home, const std::function<void(const Owner&)>& last_as_root);

// `path` as a folder with mode 0700 for `owner`. Throws permission_denied if it is there and
// somebody else's.
void make_private_folder(const fs::path& path, const Owner& owner);

// So that there are file descriptors for ten thousand clients, with a server connection each. Root
// may exceed the hard limit: take_home() does so, for all that is started, before it becomes
// somebody else.
void raise_file_limit();

// Nobody but root looks into this process from here on, not even its own user: no core dump, no
// ptrace, no /proc/<pid>/mem or environ. A program that it starts can be looked into by its own
// user, but dumps no core either.
void close_process();

// <home>/lib/<build id>/ with a copy of each of `names` from `from`: a checkout may be where only
// root can read, and a new build must not change what a running platform uses. Old ones stay.
fs::path copy_libraries(const fs::path& from, const std::vector<std::string>& names,
                        const fs::path& home);

}  // namespace halogen::platform
