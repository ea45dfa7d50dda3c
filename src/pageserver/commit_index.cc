#include "pageserver/commit_index.h"

namespace halogen::pageserver {
namespace {

constexpr uint64_t kFirstStep = 4096;  // Bytes of WAL.

}  // namespace

std::optional<CommitEntry> last_commit(const Store& store, Lsn lsn) {
  const Chain chain = store.collect(Key::commit_time(), lsn);
  if (chain.empty()) return std::nullopt;
  return CommitEntry{chain.back().lsn, Reader(chain.back().bytes).get<int64_t>()};
}

std::optional<CommitEntry> last_commit_by(const Store& store, int64_t time, Lsn newest,
                                          Lsn oldest) {
  std::optional<CommitEntry> latest = last_commit(store, newest);
  if (!latest || latest->time <= time) return latest;
  std::optional<CommitEntry> found;
  // All commits at or below `low` are taken; the one at `high` is too late. Most moments that are
  // asked for are recent, and where a clock was set back the newer of two answers is meant.
  uint64_t low = 0, high = latest->lsn.value;
  for (uint64_t back = kFirstStep; !found && low == 0; back *= 2) {
    const uint64_t at = std::max(high > back ? high - back : 0, oldest.value);
    const std::optional<CommitEntry> commit = last_commit(store, Lsn(at));
    if (commit && commit->time <= time) {
      found = commit;
      low = at;
    } else if (!commit) {
      low = std::max<uint64_t>(at, 1);  // No commit is at or below it.
    } else {
      if (commit->lsn <= oldest || at == oldest.value) return std::nullopt;
      high = commit->lsn.value;
    }
  }
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    const std::optional<CommitEntry> commit = last_commit(store, Lsn(middle));
    if (!commit || commit->lsn.value <= low) {
      low = middle;
    } else if (commit->time <= time) {
      found = commit;
      low = middle;
    } else {
      high = commit->lsn.value;
    }
  }
  return found;
}

}  // namespace halogen::pageserver
