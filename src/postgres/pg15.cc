#include "postgres/pg15.h"
#include "base/checksum.h"
#include "base/error.h"
#include "postgres/major.h"

namespace halogen {
namespace {

constexpr size_t kCheckpointSize = 88;
constexpr uint32_t kShutDown = 1;  // DB_SHUTDOWNED
constexpr uint64_t kFirstUnloggedLsn = 1000;

// Offsets in ControlFileData.
constexpr size_t kSystemIdentifier = 0;
constexpr size_t kControlVersion = 8;
constexpr size_t kCatalogVersion = 12;
constexpr size_t kState = 16;
constexpr size_t kTime = 24;
constexpr size_t kCheckpointLocation = 32;
constexpr size_t kCheckpointCopy = 40;
constexpr size_t kUnloggedLsn = 128;
constexpr size_t kWalLevel = 172;
constexpr size_t kWalLogHints = 176;
constexpr size_t kMaxConnections = 180;
constexpr size_t kMaxWorkerProcesses = 184;
constexpr size_t kMaxWalSenders = 188;
constexpr size_t kMaxPreparedXacts = 192;
constexpr size_t kMaxLocks = 196;
constexpr size_t kTrackCommitTimestamp = 200;
constexpr size_t kSegmentSize = 228;
constexpr size_t kChecksumVersion = 252;
constexpr size_t kNonce = 256;
constexpr size_t kNonceSize = 32;
constexpr size_t kCrc = 288;

// The checkpoint record's fields and where they lie, for both directions.
template <typename Record, typename Visit>
void each_field(Record& c, Visit visit) {
  visit(0, c.redo.value);
  visit(8, c.timeline);
  visit(12, c.previous_timeline);
  visit(16, c.full_page_writes);
  visit(24, c.fields.next_full_xid);
  visit(32, c.fields.next_oid);
  visit(36, c.fields.next_multi);
  visit(40, c.fields.next_multi_offset);
  visit(44, c.fields.oldest_xid);
  visit(48, c.fields.oldest_xid_db);
  visit(52, c.fields.oldest_multi);
  visit(56, c.fields.oldest_multi_db);
  visit(64, c.time);
  visit(72, c.fields.oldest_commit_ts_xid);
  visit(76, c.fields.newest_commit_ts_xid);
  visit(80, c.oldest_active_xid);
}

std::string encode_checkpoint(const Checkpoint& c) {
  std::string out(kCheckpointSize, '\0');
  each_field(c, [&](size_t at, const auto& value) { store(out.data() + at, value); });
  return out;
}

Checkpoint decode_checkpoint(Bytes bytes) {
  if (bytes.size() < kCheckpointSize)
    throw Error(Errc::corrupt, "checkpoint record of {} bytes", bytes.size());
  Checkpoint c;
  each_field(c, [&]<typename T>(size_t at, T& value) {
    if constexpr (std::is_same_v<T, bool>)
      value = load<uint8_t>(bytes.data() + at) != 0;
    else
      value = load<T>(bytes.data() + at);
  });
  return c;
}

// What initdb compiled in: block sizes, alignment. Stock packages use the defaults everywhere.
void put_build_facts(char* out, uint32_t segment_size) {
  store(out + 204, uint32_t{8});       // maxAlign
  store(out + 208, 1234567.0);         // floatFormat
  store(out + 216, uint32_t{8192});    // blcksz
  store(out + 220, uint32_t{131072});  // relseg_size
  store(out + 224, uint32_t{8192});    // xlog_blcksz
  store(out + kSegmentSize, segment_size);
  store(out + 232, uint32_t{64});    // nameDataLen
  store(out + 236, uint32_t{32});    // indexMaxKeys
  store(out + 240, uint32_t{1996});  // toast_max_chunk_size
  store(out + 244, uint32_t{2048});  // loblksize
  store(out + 248, uint8_t{1});      // float8ByVal
}

std::string encode_control(const ControlFile& c) {
  std::string out(kControlFileSize, '\0');
  auto put = [&](size_t at, auto value) { store(out.data() + at, value); };
  put(kSystemIdentifier, c.system_identifier);
  put(kControlVersion, kMajor15.control_version);
  put(kCatalogVersion, kMajor15.catalog_version);
  put(kState, kShutDown);
  put(kTime, c.time);
  put(kCheckpointLocation, c.checkpoint_location.value);
  out.replace(kCheckpointCopy, kCheckpointSize, encode_checkpoint(c.checkpoint));
  put(kUnloggedLsn, kFirstUnloggedLsn);
  put(kWalLevel, int32_t{c.settings.wal_level});
  put(kWalLogHints, static_cast<uint8_t>(c.settings.wal_log_hints));
  put(kMaxConnections, int32_t{c.settings.max_connections});
  put(kMaxWorkerProcesses, int32_t{c.settings.max_worker_processes});
  put(kMaxWalSenders, int32_t{c.settings.max_wal_senders});
  put(kMaxPreparedXacts, int32_t{c.settings.max_prepared_xacts});
  put(kMaxLocks, int32_t{c.settings.max_locks_per_xact});
  put(kTrackCommitTimestamp, static_cast<uint8_t>(c.settings.track_commit_timestamp));
  put_build_facts(out.data(), c.wal_segment_size);
  put(kChecksumVersion, c.data_checksum_version);
  std::string nonce = c.mock_authentication_nonce;
  nonce.resize(kNonceSize);
  out.replace(kNonce, kNonceSize, nonce);
  put(kCrc, crc32c(as_bytes(out).first(kCrc)));
  return out;
}

ControlFile decode_control(Bytes bytes) {
  if (bytes.size() < kCrc + 4)
    throw Error(Errc::corrupt, "pg_control of only {} bytes", bytes.size());
  const std::byte* p = bytes.data();
  uint32_t version = load<uint32_t>(p + kControlVersion);
  if (version != kMajor15.control_version ||
      load<uint32_t>(p + kCatalogVersion) != kMajor15.catalog_version)
    throw Error(Errc::corrupt, "pg_control of version {} is not PostgreSQL 15's", version);
  if (load<uint32_t>(p + kCrc) != crc32c(bytes.first(kCrc)))
    throw Error(Errc::corrupt, "pg_control's checksum is wrong");

  ControlFile c;
  c.system_identifier = load<uint64_t>(p + kSystemIdentifier);
  c.state = load<uint32_t>(p + kState);
  c.time = load<int64_t>(p + kTime);
  c.checkpoint_location = Lsn(load<uint64_t>(p + kCheckpointLocation));
  c.checkpoint = decode_checkpoint(bytes.subspan(kCheckpointCopy));
  c.settings.wal_level = load<int32_t>(p + kWalLevel);
  c.settings.wal_log_hints = load<uint8_t>(p + kWalLogHints) != 0;
  c.settings.max_connections = load<int32_t>(p + kMaxConnections);
  c.settings.max_worker_processes = load<int32_t>(p + kMaxWorkerProcesses);
  c.settings.max_wal_senders = load<int32_t>(p + kMaxWalSenders);
  c.settings.max_prepared_xacts = load<int32_t>(p + kMaxPreparedXacts);
  c.settings.max_locks_per_xact = load<int32_t>(p + kMaxLocks);
  c.settings.track_commit_timestamp = load<uint8_t>(p + kTrackCommitTimestamp) != 0;
  c.wal_segment_size = load<uint32_t>(p + kSegmentSize);
  c.data_checksum_version = load<uint32_t>(p + kChecksumVersion);
  c.mock_authentication_nonce = as_text(bytes.subspan(kNonce, kNonceSize));
  return c;
}

}  // namespace

const MajorLayout kMajor15 = {
    .major = 15,
    .wal_page_magic = 0xD110,
    .last_builtin_rmgr = pg15::rm::kLastBuiltin,
    .control_version = 1300,
    .catalog_version = 202209061,
    .tablespace_folder = "PG_15_202209061",
    .checkpoint_size = kCheckpointSize,
    .encode_checkpoint = encode_checkpoint,
    .decode_checkpoint = decode_checkpoint,
    .encode_control = encode_control,
    .decode_control = decode_control,
};

}  // namespace halogen
