#include "postgres/checkpoint.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/error.h"
#include "postgres/pg15.h"
#include "postgres/wal_reader.h"

namespace halogen {
namespace {

constexpr char kDataShort = '\xFF';

std::string checkpoint_record(const MajorLayout& major, const Checkpoint& checkpoint, Lsn prev) {
  std::string body = major.encode_checkpoint(checkpoint);
  auto total = static_cast<uint32_t>(kWalRecordHeaderSize + 2 + body.size());
  Writer out;
  out.put(total).put(uint32_t{0}).put(prev.value);
  out.put(pg15::xlog::kCheckpointShutdown).put(pg15::rm::xlog).put(uint16_t{0});
  out.put(uint32_t{0});  // CRC
  out.put(kDataShort).put(static_cast<uint8_t>(body.size())).text(body);
  std::string record = out.take();
  Bytes bytes = as_bytes(record);
  store(record.data() + 20,
        crc32c_extend(crc32c(bytes.subspan(kWalRecordHeaderSize)), bytes.first(20)));
  return record;
}

std::string page_header(const SyntheticCheckpointOptions& o, uint64_t page, size_t remaining) {
  WalPageHeader header;
  header.magic = major_layout(o.major).wal_page_magic;
  header.info = remaining > 0 ? kWalPageContinues : 0;
  header.timeline = o.timeline;
  header.address = page;
  header.remaining = static_cast<uint32_t>(remaining);
  return encode_page_header(header, o.system_identifier, o.segment_size);
}

}  // namespace

SyntheticCheckpoint make_synthetic_checkpoint(const SyntheticCheckpointOptions& o) {
  if (o.at.value == 0 || o.at.value % 8 != 0)
    throw Error(Errc::invalid_argument, "{} is not a WAL record boundary", o.at.str());
  SyntheticCheckpoint made;
  made.start = record_start_after(o.at, o.segment_size);
  made.checkpoint = {.redo = made.start,
                     .timeline = o.timeline,
                     .previous_timeline = o.timeline,
                     .full_page_writes = o.full_page_writes,
                     .fields = o.fields,
                     .time = o.time};
  std::string record = checkpoint_record(major_layout(o.major), made.checkpoint, o.prev);

  uint64_t at = o.at.value;
  if (at % kWalPageSize == 0) made.wal = page_header(o, at, 0);
  for (std::string_view rest = record; !rest.empty();) {
    at = o.at.value + made.wal.size();
    if (at % kWalPageSize == 0) {
      made.wal += page_header(o, at, rest.size());
      continue;
    }
    size_t size = std::min<size_t>(rest.size(), kWalPageSize - at % kWalPageSize);
    made.wal.append(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  made.end = Lsn(wal_align(o.at.value + made.wal.size()));
  made.wal.resize(made.end - o.at);
  return made;
}

std::vector<WalFile> wal_files(const SyntheticCheckpointOptions& o,
                               const SyntheticCheckpoint& checkpoint, std::string page_head) {
  uint64_t page = page_start(o.at);
  size_t in_page = o.at.value - page;
  if (page_head.size() != in_page || (in_page > 0 && load<uint16_t>(page_head.data()) == 0)) {
    // As if a record from before ended at `at`: whoever looks for the first record of this page, as
    // pg_waldump does, finds the checkpoint.
    uint32_t header_size = wal_header_size(page, o.segment_size);
    page_head = in_page > 0 ? page_header(o, page, in_page - header_size) : "";
    page_head.resize(in_page);
  }
  // A branch's history may begin in the middle of a segment of another system's.
  if (in_page >= kWalLongHeader && page % o.segment_size == 0)
    store(page_head.data() + kWalShortHeader, o.system_identifier);
  std::string bytes = std::move(page_head) + checkpoint.wal;

  std::vector<WalFile> files;
  uint64_t first = segment_start(o.at, o.segment_size);
  // The end itself may be the start of the next segment, which Postgres makes then.
  for (uint64_t segment = first; segment < checkpoint.end.value; segment += o.segment_size) {
    WalFile file{wal_segment_name(Lsn(segment), o.segment_size, o.timeline), o.segment_size, {}};
    uint64_t from = std::max(segment, page);
    uint64_t to = std::min(segment + o.segment_size, checkpoint.end.value);
    if (from > segment) file.pieces.push_back({0, page_header(o, segment, 0)});
    file.pieces.push_back(
        {static_cast<uint32_t>(from - segment), bytes.substr(from - page, to - from)});
    files.push_back(std::move(file));
  }
  return files;
}

ControlFile control_for(const SyntheticCheckpointOptions& o, const SyntheticCheckpoint& checkpoint,
                        const ControlSettings& settings) {
  ControlFile control;
  control.system_identifier = o.system_identifier;
  control.time = o.time;
  control.checkpoint_location = checkpoint.start;
  control.checkpoint = checkpoint.checkpoint;
  control.settings = settings;
  // What history has, not what the server will start with: if they differ, Postgres logs the
  // change, and storage learns of it.
  control.settings.track_commit_timestamp = o.fields.newest_commit_ts_xid != 0;
  control.wal_segment_size = o.segment_size;
  return control;
}

}  // namespace halogen
