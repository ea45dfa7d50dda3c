// redo_test_server.h: a throw-away stock server, its WAL and its files.
#pragma once
#include <fmt/core.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "pageserver/redo/redo_test_env.h"
#include "postgres/control_file.h"
#include "protocol/page_key.h"

namespace halogen::pageserver::testing {

class StockServer {
 public:
  explicit StockServer(const TestFolder& folder) : folder_(folder), data_(folder.path() / "data") {
    run(fmt::format("{}/initdb -D {} -U postgres -A trust --no-sync -E UTF8 --locale=C", kBin,
                    data_.string()));
    std::string config = read_file(data_ / "postgresql.conf");
    config += fmt::format(
        "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\n"
        "full_page_writes = off\nautovacuum = off\nwal_level = replica\nmax_wal_size = 10GB\n"
        "wal_keep_size = 10GB\nshared_buffers = 16MB\ndynamic_library_path = '{}:$libdir'\n"
        "log_min_messages = warning\n",
        folder.path().string(), folder.path().string());
    write_file(data_ / "postgresql.conf", config);
  }
  ~StockServer() {
    if (running_) (void)std::system(command(stop_command("immediate")).c_str());
  }

  void start() {
    run(fmt::format("{}/pg_ctl -s -w -D {} -l {}/log start", kBin, data_.string(),
                    folder_.path().string()));
    running_ = true;
  }
  void stop(std::string_view mode = "fast") {
    run(stop_command(mode));
    running_ = false;
  }
  // What psql prints, unaligned. Throws if a statement fails.
  std::string sql(std::string_view text) {
    fs::path file = folder_.path() / "script.sql";
    write_file(file, text, 0644);
    fs::permissions(file, fs::perms(0644));
    std::string out =
        run(fmt::format("/usr/bin/psql -XqAt -v ON_ERROR_STOP=1 -h {} -U postgres -d "
                        "postgres -f {}",
                        folder_.path().string(), file.string()));
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
  }

  const fs::path& data() const { return data_; }
  ControlFile control() const {
    return parse_control_file(15, read_file(data_ / "global" / "pg_control"));
  }
  // The segment that `lsn` is in, on timeline 1.
  std::string wal_segment(Lsn lsn) const {
    uint64_t number = lsn.value >> 24;
    return read_file(data_ / "pg_wal" /
                     fmt::format("{:08X}{:08X}{:08X}", 1, number >> 8, number & 0xff));
  }

 private:
  static constexpr const char* kBin = "/usr/lib/postgresql/15/bin";

  std::string stop_command(std::string_view mode) const {
    return fmt::format("{}/pg_ctl -s -w -D {} -m {} stop", kBin, data_.string(), mode);
  }
  std::string command(const std::string& line) const {
    std::string as;
    if (folder_.run_as())
      as = fmt::format("/usr/bin/setpriv --reuid {} --regid {} --clear-groups ",
                       folder_.run_as()->uid, folder_.run_as()->gid);
    return fmt::format("cd {} && {}{} 2>&1", folder_.path().string(), as, line);
  }
  std::string run(const std::string& line) const {
    FILE* pipe = popen(command(line).c_str(), "re");
    CHECK(pipe != nullptr);
    std::string out;
    char buffer[65536];
    while (size_t got = fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, got);
    if (pclose(pipe) != 0) throw Error(Errc::internal, "{}: {}", line, out);
    return out;
  }

  const TestFolder& folder_;
  fs::path data_;
  bool running_ = false;
};

using Pages = std::map<PageKey, std::string>;

// "16384_vm.1" and the folder's oids to a fork and its segment.
inline bool parse_relation_file(const std::string& name, RelTag& tag, uint32_t& segment) {
  unsigned rel = 0;
  int used = 0;
  if (sscanf(name.c_str(), "%u%n", &rel, &used) != 1) return false;
  std::string rest = name.substr(static_cast<size_t>(used));
  segment = 0;
  if (auto dot = rest.find('.'); dot != std::string::npos) {
    segment = static_cast<uint32_t>(std::stoul(rest.substr(dot + 1)));
    rest.resize(dot);
  }
  tag.rel = rel;
  if (rest.empty())
    tag.fork = 0;
  else if (rest == "_fsm")
    tag.fork = 1;
  else if (rest == "_vm")
    tag.fork = 2;
  else if (rest == "_init")
    tag.fork = 3;
  else
    return false;
  return true;
}

inline void read_pages(const fs::path& folder, uint32_t spc, uint32_t db, Pages& pages) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    RelTag tag = RelTag::relation(spc, db, 0, Fork::main);
    uint32_t segment = 0;
    if (!entry.is_regular_file() || !parse_relation_file(entry.path().filename(), tag, segment))
      continue;
    std::string content = read_file(entry.path());
    for (size_t at = 0; at + kPageSize <= content.size(); at += kPageSize)
      pages[{tag, segment * kRelSegmentPages + static_cast<uint32_t>(at / kPageSize)}] =
          content.substr(at, kPageSize);
  }
}

// All pages of the shared relations and of database `db`, as the files have them.
inline Pages read_all_pages(const fs::path& data, uint32_t db) {
  Pages pages;
  read_pages(data / "global", 1664, 0, pages);
  read_pages(data / "base" / std::to_string(db), 1663, db, pages);
  return pages;
}

}  // namespace halogen::pageserver::testing
