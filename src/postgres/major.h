// major.h: the one seam for what differs between PostgreSQL's major versions in its file formats.
//
// A new major is a new file that fills in a MajorLayout (pg15.cc is the pattern), and a line in
// major.cc.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/lsn.h"
#include "protocol/skeleton.h"

namespace halogen {

// The body of a checkpoint record, and of its copy in the control file.
struct Checkpoint {
  Lsn redo;
  uint32_t timeline = 1;
  uint32_t previous_timeline = 1;
  bool full_page_writes = false;
  CheckpointFields fields;
  int64_t time = 0;  // Seconds since 1970.
  uint32_t oldest_active_xid = 0;
};

// The settings that the control file repeats. Unless they equal what Postgres starts with, it logs
// a PARAMETER_CHANGE record at start, which is harmless.
struct ControlSettings {
  int wal_level = 1;  // 0 minimal, 1 replica, 2 logical.
  bool wal_log_hints = false;
  int max_connections = 100;
  int max_worker_processes = 8;
  int max_wal_senders = 10;
  int max_prepared_xacts = 0;
  int max_locks_per_xact = 64;
  bool track_commit_timestamp = false;
};

// global/pg_control of a cluster that was shut down cleanly.
struct ControlFile {
  uint64_t system_identifier = 0;
  int64_t time = 0;  // Seconds since 1970.
  Lsn checkpoint_location;
  Checkpoint checkpoint;
  ControlSettings settings;
  uint32_t wal_segment_size = 16 << 20;
  uint32_t data_checksum_version = 0;
  std::string mock_authentication_nonce;  // 32 bytes; empty: zeros.
  // Read only; build_control_file always writes "shut down".
  uint32_t state = 1;
};

struct MajorLayout {
  int major;
  uint16_t wal_page_magic;
  uint8_t last_builtin_rmgr;
  uint32_t control_version;
  uint32_t catalog_version;
  std::string_view tablespace_folder;  // The folder inside a tablespace: "PG_15_202209061".
  size_t checkpoint_size;

  std::string (*encode_checkpoint)(const Checkpoint&);
  Checkpoint (*decode_checkpoint)(Bytes);             // Errc::corrupt if too short.
  std::string (*encode_control)(const ControlFile&);  // kControlFileSize bytes.
  ControlFile (*decode_control)(Bytes);               // Errc::corrupt: damaged, another version.
};

constexpr size_t kControlFileSize = 8192;

// invalid_argument for a major that we do not know.
const MajorLayout& major_layout(int major);

extern const MajorLayout kMajor15;

}  // namespace halogen
