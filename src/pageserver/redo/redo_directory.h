// redo_directory.h: the few files that let `postgres --single` get as far as shared memory.
#pragma once
#include <filesystem>

namespace halogen::pageserver {

// Makes `directory` (which must not exist) a data directory that is good for redo mode only: about
// 10 KB, no catalogs, no WAL. Throws io, or invalid_argument for a major that is not known.
void make_redo_directory(const std::filesystem::path& directory, int major);

// Removes it, and the shared memory segment that a postgres killed while it started has left.
void remove_redo_directory(const std::filesystem::path& directory);

}  // namespace halogen::pageserver
