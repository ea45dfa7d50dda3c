#include "compute/shim/segment_path.h"

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace halogen::shim {
namespace {

constexpr uint32_t kPgDefault = 1663;
constexpr uint32_t kPgGlobal = 1664;
constexpr auto kRelation = static_cast<uint8_t>(PageKind::relation);
constexpr auto kSlru = static_cast<uint8_t>(PageKind::slru);

// One name of a path. Empty at its end.
struct Part {
  const char* start;
  size_t length;

  bool is(const char* text) const {
    return std::strlen(text) == length && std::memcmp(start, text, length) == 0;
  }
};

Part next_part(const char** cursor) {
  const char* p = *cursor;
  for (;;) {
    while (*p == '/') ++p;
    if (p[0] == '.' && (p[1] == '/' || p[1] == 0))
      ++p;
    else
      break;
  }
  const char* start = p;
  while (*p != 0 && *p != '/') ++p;
  *cursor = p;
  return {start, static_cast<size_t>(p - start)};
}

// Decimal without leading zeros, as Postgres prints object ids.
bool parse_number(const char** cursor, const char* end, uint32_t* out) {
  const char* p = *cursor;
  uint64_t value = 0;
  if (p == end || *p < '0' || *p > '9') return false;
  if (*p == '0' && p + 1 != end && p[1] >= '0' && p[1] <= '9') return false;
  for (; p != end && *p >= '0' && *p <= '9'; ++p) {
    value = value * 10 + static_cast<uint64_t>(*p - '0');
    if (value > UINT32_MAX) return false;
  }
  *out = static_cast<uint32_t>(value);
  *cursor = p;
  return true;
}

bool parse_oid(Part part, uint32_t* out) {
  const char* p = part.start;
  return parse_number(&p, part.start + part.length, out) && p == part.start + part.length;
}

// "16384", "16384_vm", "16384.2", "16384_fsm.1"
bool parse_relation_file(Part part, SegmentId* out) {
  const char* p = part.start;
  const char* end = part.start + part.length;
  if (!parse_number(&p, end, &out->rel)) return false;
  out->fork = static_cast<uint8_t>(Fork::main);
  if (p != end && *p == '_') {
    const char* name = ++p;
    while (p != end && *p != '.') ++p;
    Part fork{name, static_cast<size_t>(p - name)};
    if (fork.is("fsm"))
      out->fork = static_cast<uint8_t>(Fork::fsm);
    else if (fork.is("vm"))
      out->fork = static_cast<uint8_t>(Fork::vm);
    else if (fork.is("init"))
      out->fork = static_cast<uint8_t>(Fork::init);
    else
      return false;
  }
  out->number = 0;
  if (p == end) return true;
  if (*p != '.') return false;
  ++p;
  return parse_number(&p, end, &out->number) && p == end && out->number != 0;
}

bool parse_slru_file(Part part, SegmentId* out) {
  if (part.length < 4 || part.length > 6) return false;
  uint32_t value = 0;
  for (size_t i = 0; i < part.length; ++i) {
    char c = part.start[i];
    uint32_t digit;
    if (c >= '0' && c <= '9')
      digit = static_cast<uint32_t>(c - '0');
    else if (c >= 'A' && c <= 'F')
      digit = static_cast<uint32_t>(c - 'A' + 10);
    else
      return false;
    value = value << 4 | digit;
  }
  out->number = value;
  return true;
}

bool parse_tablespace_directory(const char** cursor, DirectoryId* out) {
  if (!parse_oid(next_part(cursor), &out->spc)) return false;
  Part version = next_part(cursor);
  return version.length > 3 && std::memcmp(version.start, "PG_", 3) == 0 &&
         parse_oid(next_part(cursor), &out->db);
}

bool parse_slru_directory(Part first, const char** cursor, DirectoryId* out) {
  Slru slru;
  if (first.is("pg_xact")) {
    slru = Slru::xact;
  } else if (first.is("pg_commit_ts")) {
    slru = Slru::commit_ts;
  } else if (first.is("pg_multixact")) {
    Part second = next_part(cursor);
    if (second.is("offsets"))
      slru = Slru::multixact_offsets;
    else if (second.is("members"))
      slru = Slru::multixact_members;
    else
      return false;
  } else {
    return false;
  }
  *out = {kSlru, static_cast<uint8_t>(slru), 0, 0};
  return true;
}

// Takes the names of a directory that holds segments; the cursor stays behind them.
bool take_directory(const char** cursor, DirectoryId* out) {
  Part first = next_part(cursor);
  *out = {};
  out->kind = kRelation;
  if (first.is("base")) {
    out->spc = kPgDefault;
    return parse_oid(next_part(cursor), &out->db);
  }
  if (first.is("global")) {
    out->spc = kPgGlobal;
    return true;
  }
  // Nearly all other names of a data directory begin with pg_: leave early.
  if (first.length < 7 || first.start[0] != 'p') return false;
  if (first.is("pg_tblspc")) return parse_tablespace_directory(cursor, out);
  return parse_slru_directory(first, cursor, out);
}

}  // namespace

DirectoryId directory_of(const SegmentId& id) {
  return {id.kind, id.kind == kSlru ? id.fork : uint8_t{0}, id.spc, id.db};
}

bool parse_segment(const char* path, SegmentId* out) {
  DirectoryId directory;
  if (!take_directory(&path, &directory)) return false;
  Part name = next_part(&path);
  if (name.length == 0 || next_part(&path).length != 0) return false;
  *out = {};
  out->kind = directory.kind;
  out->spc = directory.spc;
  out->db = directory.db;
  if (directory.kind == kRelation) return parse_relation_file(name, out);
  out->fork = directory.fork;
  return parse_slru_file(name, out);
}

bool parse_directory(const char* path, DirectoryId* out) {
  return take_directory(&path, out) && next_part(&path).length == 0;
}

bool is_relcache_file(const char* path) {
  constexpr char kName[] = "/pg_internal.init";
  size_t length = std::strlen(path);
  size_t wanted = sizeof kName - 1;
  return length > wanted && std::memcmp(path + length - wanted, kName, wanted) == 0;
}

void format_segment(const SegmentId& id, const char* version_directory, char* out) {
  if (id.kind == kSlru) {
    static constexpr const char* kFolders[kSlrus] = {"pg_xact", "pg_multixact/offsets",
                                                     "pg_multixact/members", "pg_commit_ts"};
    std::snprintf(out, kSegmentPathMax, "%s/%04X", kFolders[id.fork % kSlrus], id.number);
    return;
  }
  int used;
  if (id.spc == kPgGlobal)
    used = std::snprintf(out, kSegmentPathMax, "global/%u", id.rel);
  else if (id.spc == kPgDefault)
    used = std::snprintf(out, kSegmentPathMax, "base/%u/%u", id.db, id.rel);
  else
    used = std::snprintf(out, kSegmentPathMax, "pg_tblspc/%u/%s/%u/%u", id.spc, version_directory,
                         id.db, id.rel);
  static constexpr const char* kSuffixes[kForks] = {"", "_fsm", "_vm", "_init"};
  size_t at = static_cast<size_t>(used);
  used = std::snprintf(out + at, kSegmentPathMax - at, "%s", kSuffixes[id.fork % kForks]);
  at += static_cast<size_t>(used);
  if (id.number != 0) std::snprintf(out + at, kSegmentPathMax - at, ".%u", id.number);
}

}  // namespace halogen::shim
