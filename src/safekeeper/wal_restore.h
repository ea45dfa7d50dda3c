// wal_restore.h: a timeline's folder made of WAL that was kept elsewhere, while no safekeeper runs.
#pragma once
#include "safekeeper/durable_state.h"
#include "safekeeper/segment_files.h"

namespace halogen::safekeeper {

class WalRestore {
 public:
  // `state.oldest` is where the WAL that comes begins: the timeline's start, or a segment's;
  // `state.flushed` where it ends. What is in `folder` goes when finish() is called.
  WalRestore(fs::path folder, const DurableState& state);
  void write(Lsn at, Bytes wal);
  // The timeline exists, durably, from when this returns.
  void finish();

 private:
  const fs::path folder_;
  const fs::path staged_;
  const SegmentFiles files_;
};

}  // namespace halogen::safekeeper
