#include "pageserver/ingest/template_import.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "pageserver/ingest/change.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

constexpr size_t kPagesPerPut = 256;
constexpr uint32_t kShutDown = 1;

std::optional<uint32_t> parse_number(std::string_view text, int base = 10) {
  uint32_t number;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct RelationFile {
  uint32_t rel = 0;
  Fork fork = Fork::main;
  uint32_t segment = 0;
};

// "16384", "16384_vm", "16384_fsm.1"; nullopt for what is none (temporary relations too).
std::optional<RelationFile> parse_relation_file(std::string_view name) {
  RelationFile file;
  if (size_t dot = name.find('.'); dot != name.npos) {
    auto segment = parse_number(name.substr(dot + 1));
    if (!segment) return std::nullopt;
    file.segment = *segment;
    name = name.substr(0, dot);
  }
  if (size_t bar = name.find('_'); bar != name.npos) {
    std::string_view fork = name.substr(bar + 1);
    if (fork == "fsm")
      file.fork = Fork::fsm;
    else if (fork == "vm")
      file.fork = Fork::vm;
    else if (fork == "init")
      file.fork = Fork::init;
    else
      return std::nullopt;
    name = name.substr(0, bar);
  }
  auto rel = parse_number(name);
  if (!rel) return std::nullopt;
  file.rel = *rel;
  return file;
}

class Importer {
 public:
  Importer(Store& store, fs::path folder, Lsn lsn, const MajorLayout& major)
      : store_(store), folder_(std::move(folder)), lsn_(lsn), change_(head_, major) {}

  void run() {
    change_.begin(lsn_);
    import_control();
    import_folder("global", pg15::kGlobalTablespace, 0);
    for (const auto& entry : fs::directory_iterator(folder_ / "base"))
      if (auto db = parse_number(entry.path().filename().native()))
        import_database(pg15::kDefaultTablespace, *db);
    for (const auto& entry : fs::directory_iterator(folder_ / "pg_tblspc"))
      if (auto spc = parse_number(entry.path().filename().native())) import_tablespace(*spc);
    import_slru("pg_xact", Slru::xact);
    import_slru("pg_multixact/offsets", Slru::multixact_offsets);
    import_slru("pg_multixact/members", Slru::multixact_members);
    import_slru("pg_commit_ts", Slru::commit_ts);
    import_file(std::string(kOriginsFile));
    import_file("pg_stat/pgstat.stat");
    for (const auto& entry : fs::directory_iterator(folder_ / "pg_twophase"))
      import_file("pg_twophase/" + entry.path().filename().native());
    store_.put(lsn_, change_.finish());
    store_.advance(lsn_);
  }

 private:
  void import_control() {
    ControlFile control =
        change_.major().decode_control(as_bytes(read_file(folder_ / "global/pg_control")));
    if (control.state != kShutDown)
      throw Error(Errc::invalid_argument, "{} was not shut down cleanly", folder_.native());
    if (control.checkpoint_location >= lsn_)
      throw Error(Errc::invalid_argument, "{} has WAL at {}, beyond {}", folder_.native(),
                  control.checkpoint_location.str(), lsn_.str());
    change_.set_checkpoint(control.checkpoint.fields);
  }

  void import_database(uint32_t spc, uint32_t db) {
    change_.add_database(spc, db);
    import_folder(database_folder(change_.major().tablespace_folder, spc, db), spc, db);
  }

  void import_tablespace(uint32_t spc) {
    fs::path path = folder_ / "pg_tblspc" / std::to_string(spc);
    change_.add_tablespace(spc, fs::is_symlink(path) ? fs::read_symlink(path).native() : "");
    fs::path inside = path / change_.major().tablespace_folder;
    if (!fs::exists(inside)) return;
    for (const auto& entry : fs::directory_iterator(inside))
      if (auto db = parse_number(entry.path().filename().native())) import_database(spc, *db);
  }

  void import_folder(const std::string& folder, uint32_t spc, uint32_t db) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ / folder))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (name == "PG_VERSION" || name == "pg_filenode.map") import_file(folder + "/" + name);
      auto file = parse_relation_file(name);
      if (!file) continue;
      // What an unlogged relation holds is not history: only its init fork is.
      bool unlogged =
          std::binary_search(names.begin(), names.end(), fmt::format("{}_init", file->rel));
      if (unlogged && file->fork != Fork::init) continue;
      RelTag tag = RelTag::relation(spc, db, file->rel, file->fork);
      uint32_t first = file->segment * kRelSegmentPages;
      uint32_t end = first + import_pages(folder_ / folder / name, {tag, first});
      if (end >= change_.head().relation_pages(tag).value_or(0))
        change_.set_relation_size(tag, end);
    }
  }

  void import_slru(const std::string& folder, Slru slru) {
    for (const auto& entry : fs::directory_iterator(folder_ / folder)) {
      auto segment = parse_number(entry.path().filename().native(), 16);
      if (!segment) continue;
      uint32_t first = *segment * kSlruSegmentPages;
      uint32_t pages = import_pages(entry.path(), {RelTag::slru(slru), first});
      if (pages > 0) change_.slru_set_segment(slru, *segment, pages);
    }
  }

  // How many there are.
  uint32_t import_pages(const fs::path& path, PageKey first) {
    UniqueFd fd = open_file(path, O_RDONLY);
    auto pages = static_cast<uint32_t>(fs::file_size(path) / kPageSize);
    for (uint32_t done = 0; done < pages;) {
      uint32_t count = std::min<uint32_t>(pages - done, kPagesPerPut);
      std::string bytes =
          pread_exact(fd.get(), size_t{count} * kPageSize, uint64_t{done} * kPageSize);
      std::vector<Put> puts;
      for (uint32_t i = 0; i < count; ++i) {
        Bytes page = as_bytes(bytes).subspan(size_t{i} * kPageSize, kPageSize);
        bool zero =
            std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
        puts.push_back({Key::page({first.tag, first.block + done + i}),
                        zero ? ValueKind::zero : ValueKind::image, zero ? Bytes() : page});
      }
      store_.put(lsn_, puts);
      done += count;
    }
    return pages;
  }

  void import_file(const std::string& path) {
    if (fs::exists(folder_ / path)) change_.set_file(path, read_file(folder_ / path));
  }

  Store& store_;
  const fs::path folder_;
  const Lsn lsn_;
  Head head_;
  Change change_;
};

}  // namespace

void import_data_directory(Store& store, const fs::path& folder, Lsn lsn,
                           const MajorLayout& major) {
  std::string version = read_file(folder / "PG_VERSION");
  if (version != fmt::format("{}\n", major.major))
    throw Error(Errc::invalid_argument, "{} is of PostgreSQL {}, not {}", folder.native(),
                version.substr(0, version.find('\n')), major.major);
  Importer(store, folder, lsn, major).run();
}

}  // namespace halogen::pageserver
