#include "safekeeper/wal_check.h"

#include <algorithm>

#include "base/error.h"
#include "postgres/wal_reader.h"
#include "safekeeper/segment_files.h"

namespace halogen::safekeeper {
namespace {

constexpr size_t kPiece = 256 << 10;

// Feeds [reader.position(), to) as far as there is any. What is wrong there, if anything is.
std::string read_records(const SegmentFiles& files, WalReader& reader, Lsn to) {
  std::string piece(kPiece, '\0');
  WalRecordView view;
  try {
    while (reader.position() < to && !reader.at_zeros()) {
      const Lsn at = reader.position();
      const auto bytes = std::as_writable_bytes(std::span(piece));
      const size_t got = files.read(at, bytes.first(std::min<uint64_t>(kPiece, to - at)));
      if (got == 0) return fmt::format("no WAL at {}", at.str());
      reader.feed(bytes.first(got));
      while (reader.next(view)) {
      }
    }
  } catch (const Error& error) {
    return error.what();
  }
  return reader.at_zeros() ? "zeros behind " + reader.last_end().str() : "";
}

}  // namespace

CheckedWal check_wal(const fs::path& folder, Lsn from) {
  CheckedWal checked;
  checked.state = StateFile(folder / kStateName).state();
  const DurableState& state = checked.state;
  const SegmentFiles files(folder);
  auto problem = [&](const std::string& what) {
    checked.problems.push_back(folder.string() + ": " + what);
  };
  checked.end = from;
  if (from < state.oldest) {
    problem(fmt::format("storage needs WAL from {} on; only from {} on it is kept", from.str(),
                        state.oldest.str()));
    return checked;
  }
  WalReader reader(from);
  if (std::string bad = read_records(files, reader, state.flushed); !bad.empty()) problem(bad);
  // Behind what was acknowledged for certain, records count as far as they are good.
  if (checked.problems.empty()) read_records(files, reader, Lsn(~uint64_t{0}));
  checked.end = reader.last_end();
  return checked;
}

}  // namespace halogen::safekeeper
