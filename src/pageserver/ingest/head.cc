#include "pageserver/ingest/head.h"

#include "base/checksum.h"
#include "base/error.h"
#include "pageserver/ingest/file_key.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

constexpr uint32_t kOriginsMagic = 0x1257DADE;

Key first_of(KeyKind kind) {
  Key key;
  key.kind = kind;
  return key;
}
Key last_of(KeyKind kind) {
  Key key = first_of(kind);
  key.fork = UINT8_MAX;
  key.spc = key.db = key.rel = key.block = UINT32_MAX;
  return key;
}

uint32_t decode_pages(const Value& value) { return Reader(value.bytes).get<uint32_t>(); }

void load_file(Head& head, const Value& value) {
  StoredFile file = decode_file(value.bytes);
  if (file.path == kOriginsFile) head.origins = decode_origins(file.content);
  head.files[file.path] = std::make_shared<const std::string>(std::move(file.content));
}

void load_value(Head& head, const Key& key, const Value& value) {
  switch (key.kind) {
    case KeyKind::relation_size:
      head.set_relation(RelTag::relation(key.spc, key.db, key.rel, static_cast<Fork>(key.fork)),
                        decode_pages(value));
      break;
    case KeyKind::slru_segment:
      head.slru_segments[{key.fork, key.block}] = decode_pages(value);
      break;
    case KeyKind::database:
      head.databases.insert({key.spc, key.db});
      break;
    case KeyKind::tablespace:
      head.tablespaces[key.spc] = value.bytes;
      break;
    case KeyKind::file:
      load_file(head, value);
      break;
    case KeyKind::checkpoint:
      head.checkpoint = Reader(value.bytes).get<CheckpointFields>();
      break;
    case KeyKind::relcache_change:
      head.relcache_invalidated_at = value.lsn;
      break;
    default:
      break;
  }
}

}  // namespace

Head Head::load(const Store& store, Lsn lsn) {
  Head head;
  auto visit = [&](const Key& key, const Value& value) { load_value(head, key, value); };
  // commit_time lies between the two ranges: it has a version for each commit there ever was.
  store.scan(first_of(KeyKind::relation_size), last_of(KeyKind::checkpoint), lsn, visit);
  store.scan(first_of(KeyKind::relcache_change), last_of(KeyKind::relcache_change), lsn, visit);
  if (Chain commits = store.collect(Key::commit_time(), lsn); !commits.empty())
    head.last_commit_time = Reader(commits.back().bytes).get<int64_t>();
  head.lsn = lsn;
  head.commit_ts_active = head.checkpoint.newest_commit_ts_xid != 0;
  return head;
}

Head::Entry*& Head::recent(const RelTag& tag) const {
  uint32_t mixed = (tag.rel * 4 + tag.fork) * 0x9E3779B1u;
  return recent_.entries[mixed >> 24];
}

Head::Entry* Head::find(const RelTag& tag) const {
  Entry*& entry = recent(tag);
  if (entry && entry->first == tag) return entry;
  auto found = relations_.find(tag);
  if (found == relations_.end()) return nullptr;
  entry = const_cast<Entry*>(&*found);  // The map itself is only const here.
  return entry;
}

std::optional<uint32_t> Head::relation_pages(const RelTag& tag) const {
  const Entry* entry = find(tag);
  return entry ? std::optional(entry->second) : std::nullopt;
}

void Head::set_relation(const RelTag& tag, uint32_t pages) {
  Entry* entry = find(tag);
  if (!entry) entry = &*relations_.emplace(tag, 0).first;
  pages_ += uint64_t{pages} - entry->second;
  entry->second = pages;
}

void Head::drop_relation(const RelTag& tag) {
  auto found = relations_.find(tag);
  if (found == relations_.end()) return;
  pages_ -= found->second;
  recent(tag) = nullptr;
  relations_.erase(found);
}

std::string encode_origins(const std::map<uint16_t, uint64_t>& origins) {
  Writer out;
  out.put(kOriginsMagic);
  for (const auto& [origin, lsn] : origins)
    out.put(origin).put(uint16_t{0}).put(uint32_t{0}).put(lsn);
  out.put(crc32c(as_bytes(out.view())));
  return out.take();
}

std::map<uint16_t, uint64_t> decode_origins(std::string_view content) {
  Reader in(content);
  if (in.get<uint32_t>() != kOriginsMagic)
    throw Error(Errc::corrupt, "{} is no file of replication origins", kOriginsFile);
  std::map<uint16_t, uint64_t> origins;
  while (in.left() >= 16) {
    auto origin = in.get<uint16_t>();
    in.skip(6);
    origins[origin] = in.get<uint64_t>();
  }
  return origins;
}

std::string database_folder(std::string_view tablespace_folder, uint32_t spc, uint32_t db) {
  if (spc == pg15::kGlobalTablespace) return "global";
  if (spc == pg15::kDefaultTablespace) return fmt::format("base/{}", db);
  return fmt::format("pg_tblspc/{}/{}/{}", spc, tablespace_folder, db);
}

}  // namespace halogen::pageserver
