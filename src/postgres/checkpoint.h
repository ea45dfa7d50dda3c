// checkpoint.h: the synthetic shutdown checkpoint that lets stock Postgres boot at any record
// boundary as after a clean shutdown.
#pragma once
#include <string>
#include <vector>

#include "postgres/major.h"
#include "postgres/wal_page.h"
#include "protocol/safekeeper_admin.h"

namespace halogen {

struct SyntheticCheckpointOptions {
  int major = 15;
  Lsn at;    // End of the last record: where the new bytes begin.
  Lsn prev;  // Start of that record. Readers check it; 0 if the timeline has none.
  CheckpointFields fields;
  uint64_t system_identifier = 0;
  int64_t time = 0;  // Seconds since 1970.
  uint32_t segment_size = kWalSegmentSize;
  uint32_t timeline = 1;
  bool full_page_writes = false;
};

struct SyntheticCheckpoint {
  Lsn start;              // Of the record: pg_control's checkpoint location and redo pointer.
  Lsn end;                // Postgres writes on from here.
  std::string wal;        // The bytes [at, end), page headers included.
  Checkpoint checkpoint;  // For pg_control.
};

SyntheticCheckpoint make_synthetic_checkpoint(const SyntheticCheckpointOptions& options);

// A file of pg_wal: `size` bytes of zeros but for the pieces.
struct WalFile {
  struct Piece {
    uint32_t offset;
    std::string bytes;
  };
  std::string name;
  uint32_t size = 0;
  std::vector<Piece> pieces;
};

// The files that Postgres needs to boot at the checkpoint: the one or two segments it lies in, with
// a header at their start and, before the checkpoint, `page_head`: the WAL from the start of at's
// page up to `at` (TermStart::page_head). If that is not at hand (empty, or zeros), a page header
// that makes readers begin at `at`.
std::vector<WalFile> wal_files(const SyntheticCheckpointOptions& options,
                               const SyntheticCheckpoint& checkpoint, std::string page_head);

// The control file's content to go with it. Whether commit timestamps are kept is taken from the
// checkpoint's fields, not from `settings`.
ControlFile control_for(const SyntheticCheckpointOptions& options,
                        const SyntheticCheckpoint& checkpoint, const ControlSettings& settings);

}  // namespace halogen
