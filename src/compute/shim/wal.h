// wal.h: WAL that this server writes into the safekeeper's own segments (protocol/in_place_wal.h).
//
// pg_wal holds their names, made by the safekeeper. Postgres makes none: where it would, and where
// it would write beyond the room there is, it waits. A sync of WAL is the kernel's; one of anything
// else is none, since all other files are a cache.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace halogen::shim {

// Maps the page, which is closed, and keeps the eventfd. False if that cannot be done.
bool open_wal_page(int page, int news);
// WAL is written in place.
bool wal_is_in_place();

// The number of a WAL segment, and one; 0 for any other path.
uint32_t wal_segment_of(const char* path);
// As open() of an existing segment for writing. Waits until there is one.
int open_wal_segment(const char* path, int flags, mode_t mode, uint32_t segment);
// `segment` is wal_segment_of() the path that `fd` was opened by.
ssize_t write_wal(int fd, uint32_t segment, const void* from, size_t n, off_t at);
int sync_wal(int fd);

}  // namespace halogen::shim
