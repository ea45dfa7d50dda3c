// stock_cluster.h: for tests only: a throw-away cluster of the stock server in a temporary folder,
// to compare what we make of its files with what it makes of them itself.
//
// Runs as user postgres when we are root, as the server refuses root. Everything is gone with the
// object.
#pragma once
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/ids.h"
#include "postgres/control_file.h"
#include "postgres/wal_page.h"

namespace halogen::testing {

constexpr const char* kPostgresBin = "/usr/lib/postgresql/15/bin/";

// Output of a shell command; throws if it fails.
inline std::string run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char buffer[65536];
  for (size_t size; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    out.append(buffer, size);
  int status = ::pclose(pipe);
  if (status != 0) throw Error(Errc::internal, "`{}` failed ({}): {}", command, status, out);
  return out;
}

class StockCluster {
 public:
  StockCluster() : folder_("/tmp/halogen-stock-" + random_name(10)) {
    fs::create_directory(folder_);
    if (::geteuid() == 0) run("chown postgres:postgres " + folder_.string());
    as_postgres(fmt::format("{}initdb -D {} -A trust -U postgres --no-sync --no-instructions",
                            kPostgresBin, data().string()));
  }
  ~StockCluster() {
    try {
      if (running_) stop("immediate");
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  StockCluster(const StockCluster&) = delete;
  StockCluster& operator=(const StockCluster&) = delete;

  fs::path data() const { return folder_ / "data"; }
  const fs::path& folder() const { return folder_; }

  void start(const std::string& options = "") {
    running_ = true;  // Even a failed start may leave something to stop.
    as_postgres(
        fmt::format("{}pg_ctl -w -t 60 -D {} -l {}/log -o \"-k {} -h '' -c fsync=off -c "
                    "wal_keep_size=4GB {}\" start",
                    kPostgresBin, data().string(), folder_.string(), folder_.string(), options));
  }
  void stop(const std::string& mode = "fast") {
    as_postgres(
        fmt::format("{}pg_ctl -w -t 60 -D {} -m {} stop", kPostgresBin, data().string(), mode));
    running_ = false;
  }
  // The output of psql, bare, fields separated by '|'.
  std::string sql(const std::string& text, const std::string& database = "postgres") {
    fs::path script = folder_ / "script.sql";
    write_file(script, text, 0644);
    return as_postgres(
        fmt::format("psql -X -q -A -t -v ON_ERROR_STOP=1 -h {} -U postgres -d {} -f {}",
                    folder_.string(), database, script.string()));
  }
  std::string log() const { return read_file(folder_ / "log"); }
  ControlFile control() const {
    return parse_control_file(15, read_file(data() / "global/pg_control"));
  }
  // The bytes [from, to) of pg_wal.
  std::string wal(Lsn from, Lsn to) const {
    std::string bytes;
    while (from < to) {
      uint64_t segment = segment_start(from, kWalSegmentSize);
      size_t size = std::min(segment + kWalSegmentSize, to.value) - from.value;
      UniqueFd fd = open_file(data() / "pg_wal" / wal_segment_name(from, kWalSegmentSize), 0);
      bytes += pread_exact(fd.get(), size, from.value - segment);
      from = from + size;
    }
    return bytes;
  }
  std::string waldump(Lsn from, Lsn to, const std::string& options = "") {
    // With files named, it does not look for the segments' size in one that is still all zeros.
    return run(fmt::format("{}pg_waldump -p {}/pg_wal -s {} -e {} {} {} {}", kPostgresBin,
                           data().string(), from.str(), to.str(), options,
                           wal_segment_name(from, kWalSegmentSize),
                           wal_segment_name(Lsn(to.value - 1), kWalSegmentSize)));
  }
  // End of the last record of a cleanly stopped cluster.
  Lsn end() const {
    Lsn start = control().checkpoint_location;
    uint64_t size = kCheckpointRecord;
    uint64_t left = kWalPageSize - start.value % kWalPageSize;
    if (left < size) size += wal_header_size(start.value + left, kWalSegmentSize);
    return Lsn(wal_align(start.value + size));
  }

  std::string as_postgres(const std::string& command) {
    std::string who = ::geteuid() == 0
                          ? "cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "
                          : "cd / && ";
    return run(who + command);
  }

 private:
  static constexpr uint64_t kCheckpointRecord = 114;
  fs::path folder_;
  bool running_ = false;
};

}  // namespace halogen::testing
