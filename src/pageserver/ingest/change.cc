#include "pageserver/ingest/change.h"

#include <algorithm>

#include "base/error.h"
#include "pageserver/ingest/file_key.h"
#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

constexpr uint64_t kXidsPerStore = 64;
// A hash index grows by up to a quarter of its buckets at once, with a record of the last one only;
// whatever asks for more than this (8 GiB) is forged.
constexpr uint32_t kMostNewPages = 1 << 20;

std::string encode(uint32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

Key metadata_key(KeyKind kind, uint32_t spc = 0, uint32_t db = 0) {
  Key key;
  key.kind = kind;
  key.spc = spc;
  key.db = db;
  return key;
}

Key slru_segment_key(uint8_t slru, uint32_t segment) {
  Key key;
  key.kind = KeyKind::slru_segment;
  key.fork = slru;
  key.block = segment;
  return key;
}

Key slru_page_key(Slru slru, uint32_t page) { return Key::page({RelTag::slru(slru), page}); }

// SLRUs number their pages around a circle, as transaction ids are.
bool slru_precedes(uint32_t a, uint32_t b, uint32_t per_page) {
  uint32_t first = a * per_page;
  uint32_t second = b * per_page;
  return static_cast<int32_t>(first - second) < 0 &&
         static_cast<int32_t>(first - (second + per_page - 1)) < 0;
}

bool precedes(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

// The special transaction ids are never the next one.
uint64_t skip_special(uint64_t full_xid) {
  auto low = static_cast<uint32_t>(full_xid);
  return low < pg15::kFirstNormalXid ? full_xid + (pg15::kFirstNormalXid - low) : full_xid;
}

}  // namespace

void Change::begin(Lsn lsn) {
  lsn_ = lsn;
  puts_.clear();
  owned_.clear();
}

std::span<const Put> Change::finish() {
  head_.lsn = lsn_;
  if (head_.checkpoint.next_full_xid > stored_next_xid_) {
    CheckpointFields fields = head_.checkpoint;
    fields.next_full_xid =
        skip_special((fields.next_full_xid + kXidsPerStore - 1) / kXidsPerStore * kXidsPerStore);
    if (head_.commit_ts_active)
      fields.newest_commit_ts_xid = static_cast<uint32_t>(fields.next_full_xid) - 1;
    store_checkpoint(fields);
  }
  return puts_;
}

void Change::put_owned(const Key& key, ValueKind kind, std::string bytes) {
  put(key, kind, as_bytes(owned_.emplace_back(std::move(bytes))));
}

void Change::touch_page(const PageKey& page, bool record_makes_it) {
  std::optional<uint32_t> pages = head_.relation_pages(page.tag);
  uint32_t old = pages.value_or(0);
  if (pages && page.block < old) return;
  if (page.block - old >= kMostNewPages)
    throw Error(Errc::corrupt, "bad WAL record: block {} of a relation of {} blocks", page.block,
                old);
  set_relation_size(page.tag, page.block + 1);
  bool is_vm = page.tag.fork == static_cast<uint8_t>(Fork::vm);
  for (uint32_t block = old; block <= page.block; ++block) {
    if (block == page.block && record_makes_it) break;
    Key key = Key::page({page.tag, block});
    put(key, ValueKind::zero);
    // Postgres makes a visibility map longer by empty, not by zeroed pages.
    if (is_vm) put_owned(key, ValueKind::native, native_op(NativeOp::vm_init).take());
  }
}

void Change::create_relation(const RelTag& tag) {
  if (!head_.relation_pages(tag)) set_relation_size(tag, 0);
}

void Change::truncate_relation(const RelTag& tag, uint32_t pages) {
  std::optional<uint32_t> old = head_.relation_pages(tag);
  if (old && *old > pages) set_relation_size(tag, pages);
}

void Change::drop_relation(uint32_t spc, uint32_t db, uint32_t rel) {
  for (int fork = 0; fork < kForks; ++fork) {
    RelTag tag = RelTag::relation(spc, db, rel, static_cast<Fork>(fork));
    if (!head_.relation_pages(tag)) continue;
    put(Key::relation_size(tag), ValueKind::tombstone);
    head_.drop_relation(tag);
  }
}

void Change::set_relation_size(const RelTag& tag, uint32_t pages) {
  head_.set_relation(tag, pages);
  put_owned(Key::relation_size(tag), ValueKind::image, encode(pages));
}

void Change::slru_grow(Slru slru, uint32_t page, bool zero_last) {
  auto which = static_cast<uint8_t>(slru);
  uint32_t segment = page / kSlruSegmentPages;
  uint32_t needed = page % kSlruSegmentPages + 1;
  uint32_t pages = head_.slru_segments[{which, segment}];
  if (pages >= needed) return;
  uint32_t first = segment * kSlruSegmentPages + pages;
  for (uint32_t p = first; p < page + (zero_last ? 1 : 0); ++p)
    put(slru_page_key(slru, p), ValueKind::zero);
  slru_set_segment(slru, segment, needed);
}

void Change::slru_set_segment(Slru slru, uint32_t segment, uint32_t pages) {
  auto which = static_cast<uint8_t>(slru);
  head_.slru_segments[{which, segment}] = pages;
  put_owned(slru_segment_key(which, segment), ValueKind::image, encode(pages));
}

void Change::slru_zero_page(Slru slru, uint32_t page) {
  slru_grow(slru, page, false);
  put(slru_page_key(slru, page), ValueKind::zero);
}

bool Change::slru_has_page(Slru slru, uint32_t page) const {
  auto found = head_.slru_segments.find({static_cast<uint8_t>(slru), page / kSlruSegmentPages});
  return found != head_.slru_segments.end() && found->second > page % kSlruSegmentPages;
}

void Change::slru_change(Slru slru, uint32_t page, std::string native_op) {
  slru_grow(slru, page, true);
  put_owned(slru_page_key(slru, page), ValueKind::native, std::move(native_op));
}

void Change::slru_truncate(Slru slru, uint32_t cutoff, uint32_t per_page) {
  auto which = static_cast<uint8_t>(slru);
  std::vector<uint32_t> gone;
  for (auto at = head_.slru_segments.lower_bound({which, 0});
       at != head_.slru_segments.end() && at->first.first == which; ++at) {
    uint32_t first = at->first.second * kSlruSegmentPages;
    if (slru_precedes(first, cutoff, per_page) &&
        slru_precedes(first + kSlruSegmentPages - 1, cutoff, per_page))
      gone.push_back(at->first.second);
  }
  for (uint32_t segment : gone) slru_drop_segment(slru, segment);
}

void Change::slru_drop_segment(Slru slru, uint32_t segment) {
  auto which = static_cast<uint8_t>(slru);
  if (head_.slru_segments.erase({which, segment}) == 0) return;
  put(slru_segment_key(which, segment), ValueKind::tombstone);
}

void Change::set_file(const std::string& path, std::string content) {
  put_owned(file_key(path), ValueKind::image, encode_file(path, content));
  head_.files[path] = std::make_shared<const std::string>(std::move(content));
}

void Change::remove_file(const std::string& path) {
  if (head_.files.erase(path) == 0) return;
  put(file_key(path), ValueKind::tombstone);
}

void Change::add_database(uint32_t spc, uint32_t db) {
  if (!head_.databases.insert({spc, db}).second) return;
  put(metadata_key(KeyKind::database, spc, db), ValueKind::image);
}

void Change::drop_database(uint32_t spc, uint32_t db) {
  std::vector<RelTag> tags;
  for (auto at = head_.relations().lower_bound(RelTag::relation(spc, db, 0, Fork::main));
       at != head_.relations().end() && at->first.spc == spc && at->first.db == db; ++at)
    tags.push_back(at->first);
  for (const RelTag& tag : tags) {
    put(Key::relation_size(tag), ValueKind::tombstone);
    head_.drop_relation(tag);
  }
  std::string folder = database_folder(major_.tablespace_folder, spc, db) + "/";
  std::vector<std::string> paths;
  for (auto at = head_.files.lower_bound(folder);
       at != head_.files.end() && at->first.starts_with(folder); ++at)
    paths.push_back(at->first);
  for (const std::string& path : paths) remove_file(path);
  if (head_.databases.erase({spc, db}) > 0)
    put(metadata_key(KeyKind::database, spc, db), ValueKind::tombstone);
}

void Change::add_tablespace(uint32_t spc, std::string location) {
  head_.tablespaces[spc] = location;
  put_owned(metadata_key(KeyKind::tablespace, spc), ValueKind::image, std::move(location));
}

void Change::drop_tablespace(uint32_t spc) {
  std::vector<uint32_t> databases;
  for (auto at = head_.databases.lower_bound({spc, 0});
       at != head_.databases.end() && at->first == spc; ++at)
    databases.push_back(at->second);
  for (uint32_t db : databases) drop_database(spc, db);
  if (head_.tablespaces.erase(spc) > 0)
    put(metadata_key(KeyKind::tablespace, spc), ValueKind::tombstone);
}

void Change::advance_xid(uint32_t xid) {
  uint64_t next = head_.checkpoint.next_full_xid;
  auto low = static_cast<uint32_t>(next);
  if (xid < pg15::kFirstNormalXid || precedes(xid, low)) return;
  uint64_t epoch = (next >> 32) + (xid < low ? 1 : 0);
  head_.checkpoint.next_full_xid = skip_special((epoch << 32 | xid) + 1);
}

void Change::set_checkpoint(const CheckpointFields& fields) {
  head_.checkpoint = fields;
  store_checkpoint(fields);
}

void Change::store_checkpoint(CheckpointFields fields) {
  stored_next_xid_ = fields.next_full_xid;
  std::string bytes(reinterpret_cast<const char*>(&fields), sizeof fields);
  put_owned(metadata_key(KeyKind::checkpoint), ValueKind::image, std::move(bytes));
}

void Change::advance_multi(uint32_t next_multi, uint32_t next_offset) {
  CheckpointFields fields = head_.checkpoint;
  if (precedes(fields.next_multi, next_multi)) fields.next_multi = next_multi;
  if (precedes(fields.next_multi_offset, next_offset)) fields.next_multi_offset = next_offset;
  set_checkpoint(fields);
}

void Change::advance_commit_ts(uint32_t xid) {
  if (precedes(head_.checkpoint.newest_commit_ts_xid, xid))
    head_.checkpoint.newest_commit_ts_xid = xid;
}

void Change::set_commit_ts_active(bool active) {
  if (head_.commit_ts_active == active) return;
  head_.commit_ts_active = active;
  CheckpointFields fields = head_.checkpoint;
  uint32_t xid = active ? static_cast<uint32_t>(fields.next_full_xid) : 0;
  fields.oldest_commit_ts_xid = fields.newest_commit_ts_xid = xid;
  set_checkpoint(fields);
  if (active) return;
  auto which = static_cast<uint8_t>(Slru::commit_ts);
  std::vector<uint32_t> segments;
  for (auto at = head_.slru_segments.lower_bound({which, 0});
       at != head_.slru_segments.end() && at->first.first == which; ++at)
    segments.push_back(at->first.second);
  for (uint32_t segment : segments) slru_drop_segment(Slru::commit_ts, segment);
}

void Change::set_origin(uint16_t origin, uint64_t remote_lsn) {
  head_.origins[origin] = remote_lsn;
  store_origins();
}

void Change::drop_origin(uint16_t origin) {
  if (head_.origins.erase(origin) > 0) store_origins();
}

void Change::store_origins() {
  std::string path(kOriginsFile);
  if (head_.origins.empty())
    remove_file(path);
  else
    set_file(path, encode_origins(head_.origins));
}

void Change::relcache_changed() {
  head_.relcache_invalidated_at = lsn_;
  put(metadata_key(KeyKind::relcache_change), ValueKind::image);
}

// Backends take the time before they have their place in the log, so times of neighbours may be in
// the wrong order. Without that, "the last commit before a moment" is one place, as recovery to a
// time has it. A clock that was set back by more is taken as it is.
void Change::committed_at(int64_t time) {
  constexpr int64_t kMostDisorder = 60'000'000;
  if (const auto& last = head_.last_commit_time;
      last && time < *last && *last - time < kMostDisorder)
    time = *last;
  head_.last_commit_time = time;
  put_owned(Key::commit_time(), ValueKind::image,
            {reinterpret_cast<const char*>(&time), sizeof time});
}

}  // namespace halogen::pageserver
