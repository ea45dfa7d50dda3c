#include "compute/agent/data_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "base/error.h"
#include "compute/agent/untrusted_folder.h"
#include "compute/shim/manifest_builder.h"
#include "postgres/checkpoint.h"
#include "postgres/control_file.h"
#include "postgres/wal_page.h"

namespace halogen::compute {
namespace {

constexpr size_t kLongestControlFile = 64 << 10;

// Storage made these paths, but they come over a contract: they must stay inside.
fs::path inside(const fs::path& folder, const std::string& path) {
  fs::path relative(path);
  bool leaves = relative.empty() || relative.is_absolute() ||
                std::any_of(relative.begin(), relative.end(),
                            [](const fs::path& part) { return part == ".."; });
  if (leaves) throw Error(Errc::corrupt, "the skeleton names \"{}\"", path);
  return folder / relative;
}

void make_folders(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    fs::path path = inside(folder, name);
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) continue;
    std::error_code error;
    fs::create_directories(path, error);
    if (error) throw Error(Errc::io, "{}: {}", path.string(), error.message());
  }
}

ControlSettings control_settings(const Settings& settings) {
  ControlSettings out;
  out.wal_level = settings.get("wal_level") == "logical" ? 2 : 1;
  out.wal_log_hints = settings.get_bool("wal_log_hints");
  out.max_connections = settings.get_int("max_connections");
  out.max_worker_processes = settings.get_int("max_worker_processes");
  out.max_wal_senders = settings.get_int("max_wal_senders");
  out.max_prepared_xacts = settings.get_int("max_prepared_transactions");
  out.max_locks_per_xact = settings.get_int("max_locks_per_transaction");
  out.track_commit_timestamp = settings.get_bool("track_commit_timestamp");
  return out;
}

SyntheticCheckpointOptions checkpoint_options(const DataDirectoryPlan& plan) {
  SyntheticCheckpointOptions options;
  options.major = plan.skeleton.major;
  options.at = align_record(plan.start.end);
  options.prev = plan.start.prev_record;
  options.fields = plan.skeleton.checkpoint;
  options.system_identifier = plan.system_identifier;
  options.time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return options;
}

void write_wal(const fs::path& folder, const std::vector<WalFile>& files) {
  for (const WalFile& file : files) {
    UniqueFd fd = open_file(folder / "pg_wal" / file.name, O_WRONLY | O_CREAT | O_TRUNC);
    if (::ftruncate(fd.get(), file.size) != 0) throw system_error(errno, file.name);
    for (const WalFile::Piece& piece : file.pieces)
      pwrite_all(fd.get(), as_bytes(piece.bytes), piece.offset);
  }
}

// The next sync of Postgres' is of the segment that it writes to, which is the last of these.
void write_wal_in_place(const fs::path& folder, Lsn at, Bytes wal) {
  while (!wal.empty()) {
    const fs::path path = folder / "pg_wal" / wal_segment_name(at, kWalSegmentSize);
    UniqueFd fd = open_file(path, O_WRONLY);
    const uint64_t offset = at.value % kWalSegmentSize;
    const size_t size = std::min<uint64_t>(wal.size(), kWalSegmentSize - offset);
    pwrite_all(fd.get(), wal.first(size), offset);
    at = at + size;
    wal = wal.subspan(size);
    if (!wal.empty()) fdatasync_or_die(fd.get(), path.string());
  }
}

int prepared_transactions(const Skeleton& skeleton) {
  return static_cast<int>(std::count_if(
      skeleton.files.begin(), skeleton.files.end(),
      [](const SkeletonFile& file) { return file.path.starts_with("pg_twophase/"); }));
}

shim::ManifestOptions manifest_options(const PageSource& pages, bool keep_relcache_files) {
  shim::ManifestOptions options;
  options.socket_path = pages.socket;
  options.token = pages.token;
  options.cache_bytes = pages.cache_bytes;
  options.keep_relcache_files = keep_relcache_files;
  return options;
}

// Whether the relation cache files among the skeleton's are still true at its LSN.
bool relcache_files_valid(const Skeleton& skeleton) {
  for (const SkeletonFile& file : skeleton.files) {
    if (file.path != kRelcacheMarker) continue;
    std::optional<Lsn> since = Lsn::parse(file.content);
    return since && skeleton.relcache_invalidated_at <= *since;
  }
  return false;
}

// Its database may have been dropped since.
void write_relcache_file(const fs::path& path, const std::string& content) {
  try {
    write_file(path, content);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
  }
}

void write_skeleton_files(const fs::path& folder, const Skeleton& skeleton, bool relcache_files) {
  for (const SkeletonFile& file : skeleton.files) {
    if (file.path == kRelcacheMarker) continue;
    if (is_relcache_file(file.path)) {
      if (relcache_files) write_relcache_file(inside(folder, file.path), file.content);
      continue;
    }
    write_file(inside(folder, file.path), file.content);
  }
}

void write_settings(const fs::path& config, const Settings& settings) {
  write_file(config / "postgresql.conf", settings.render());
  write_file(config / "pg_hba.conf", Settings::hba());
  write_file(config / "pg_ident.conf", "");
}

}  // namespace

bool is_relcache_file(std::string_view path) { return path.ends_with("pg_internal.init"); }

void fill_data_directory(const fs::path& folder, const DataDirectoryPlan& plan) {
  Settings settings = plan.settings;
  settings.at_least("max_prepared_transactions", prepared_transactions(plan.skeleton));
  make_folders(folder, plan.skeleton.directories);
  bool relcache_files = relcache_files_valid(plan.skeleton);
  write_skeleton_files(folder, plan.skeleton, relcache_files);
  write_settings(plan.config, settings);

  SyntheticCheckpointOptions options = checkpoint_options(plan);
  SyntheticCheckpoint checkpoint = make_synthetic_checkpoint(options);
  if (plan.wal_in_place)
    write_wal_in_place(folder, options.at, as_bytes(checkpoint.wal));
  else
    write_wal(folder, wal_files(options, checkpoint, plan.start.page_head));
  ControlFile control = control_for(options, checkpoint, control_settings(settings));
  write_file(folder / "global/pg_control", build_control_file(options.major, control));

  auto local_pages = shim::install_hot_pages(folder, plan.skeleton);
  shim::build_manifest(plan.manifest, plan.skeleton, manifest_options(plan.pages, relcache_files),
                       local_pages);
}

void reuse_data_directory(const fs::path& config, const fs::path& manifest,
                          const Settings& settings, Lsn end, const PageSource& pages) {
  write_settings(config, settings);
  shim::rebase_manifest(manifest, end, manifest_options(pages, true));
}

CleanEnd read_clean_end(const fs::path& folder, int major) {
  constexpr uint32_t kShutDown = 1;
  UntrustedFolder data(folder);
  ControlFile control =
      parse_control_file(major, data.read("global/pg_control", kLongestControlFile));
  if (control.state != kShutDown)
    throw Error(Errc::corrupt, "{} was not stopped cleanly", folder.string());
  // A header, two bytes, the body; over as many page headers as it takes.
  uint64_t left = 24 + 2 + major_layout(major).checkpoint_size;
  uint64_t at = control.checkpoint_location.value;
  while (left > 0) {
    if (at % kWalPageSize == 0) at += wal_header_size(at, control.wal_segment_size);
    uint64_t piece = std::min(left, kWalPageSize - at % kWalPageSize);
    at += piece;
    left -= piece;
  }
  return {align_record(Lsn(at)), control.checkpoint_location, control.system_identifier};
}

void prune_wal(const fs::path& folder, Lsn checkpoint) {
  std::string oldest = wal_segment_name(checkpoint, kWalSegmentSize);
  UntrustedFolder data(folder);
  for (const std::string& name : data.names("pg_wal"))
    if (name.size() == oldest.size() && name < oldest) data.remove("pg_wal/" + name);
}

void remove_wal_names(const fs::path& folder) {
  UntrustedFolder data(folder);
  for (const std::string& name : data.names("pg_wal"))
    if (name != "archive_status") data.remove("pg_wal/" + name);
}

}  // namespace halogen::compute
