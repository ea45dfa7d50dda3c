#include "safekeeper/wal_restore.h"

#include <fcntl.h>

#include "base/error.h"
#include "safekeeper/wal_store.h"

namespace halogen::safekeeper {
namespace {

fs::path staged_beside(fs::path folder) {
  folder += ".restored.tmp";  // A start removes it.
  return folder;
}

}  // namespace

WalRestore::WalRestore(fs::path folder, const DurableState& state)
    : folder_(std::move(folder)), staged_(staged_beside(folder_)), files_(staged_) {
  if (state.oldest != state.start && state.oldest != segment_of(state.oldest))
    throw Error(Errc::corrupt, "WAL of timeline {} begins at {}, within a segment", state.id.str(),
                state.oldest.str());
  fs::remove_all(staged_);
  WalStore::create(staged_, state);
}

void WalRestore::write(Lsn at, Bytes wal) {
  while (!wal.empty()) {
    const uint64_t offset = at - segment_of(at);
    const size_t size = std::min<uint64_t>(wal.size(), kWalSegmentSize - offset);
    UniqueFd fd = files_.open_or_create(at);
    pwrite_all(fd.get(), wal.first(size), offset);
    fdatasync_or_die(fd.get(), "a restored segment");
    at = at + size;
    wal = wal.subspan(size);
  }
}

void WalRestore::finish() {
  fsync_folder(staged_);
  fs::remove_all(folder_);
  fs::rename(staged_, folder_);
  fsync_folder(folder_.parent_path());
}

}  // namespace halogen::safekeeper
