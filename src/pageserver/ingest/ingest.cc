#include "pageserver/ingest/ingest.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::pageserver {
namespace {

constexpr size_t kPagesPerPut = 256;

bool all_zero(std::string_view page) {
  return std::all_of(page.begin(), page.end(), [](char c) { return c == 0; });
}

}  // namespace

Ingest::Ingest(Store& store, Head head, const MajorLayout& major, PageReader read_page)
    : store_(store),
      major_(major),
      read_page_(std::move(read_page)),
      reader_(head.lsn, {.major = &major}),
      taken_(head.lsn),
      head_(std::move(head)),
      change_(head_, major) {}

void Ingest::feed(Lsn start, Bytes wal) {
  MutexLock feeding(feeding_);
  if (start != reader_.position()) {
    Lsn end = reader_.last_end();
    if (start != end)
      throw Error(Errc::invalid_argument, "WAL from {} does not follow {}", start.str(), end.str());
    reader_ = WalReader(end, {.major = &major_}, reader_.last_start());
  }
  or_fail([&]() REQUIRES(feeding_) {
    reader_.feed(wal);
    take_all();
  });
  if (taken_ > store_.last_record_lsn()) store_.advance(taken_);
}

// Whatever goes wrong, memory included, what is known of the head is not to be relied on.
template <typename Work>
void Ingest::or_fail(Work work) {
  if (failed()) throw Error(Errc::unavailable, "taking in WAL has failed before");
  try {
    work();
  } catch (...) {
    {
      MutexLock lock(mutex_);
      failed_ = true;
    }
    if (taken_ > store_.last_record_lsn()) store_.advance(taken_);
    throw;
  }
}

void Ingest::take_all() {
  WalRecordView view;
  while (reader_.next(view)) {
    take(view);
    taken_ = view.end;
  }
  if (reader_.at_zeros())
    throw Error(Errc::corrupt, "zeros instead of WAL behind {}", reader_.last_end().str());
}

void Ingest::take(const WalRecordView& view) {
  if (view.bytes.size() < view.header.total_size) return take_long_message(view);
  record_.decode(view.bytes);
  if (std::optional<DatabaseCopy> copy = database_copy(record_)) copy_pages(*copy, view.end);
  std::span<const Put> puts;
  {
    MutexLock lock(mutex_);
    failed_ = true;  // Until it is whole: nobody may see it in between.
    change_.begin(view.end);
    apply_record(change_, record_, view.end);
    puts = change_.finish();
    failed_ = false;
  }
  // The puts stay as they are until the next record, and only this thread makes changes.
  if (!puts.empty()) store_.put(view.end, puts);
}

// The reader keeps only its header; but for a transaction's number it says nothing to storage.
void Ingest::take_long_message(const WalRecordView& view) {
  std::span<const Put> puts;
  {
    MutexLock lock(mutex_);
    change_.begin(view.end);
    change_.advance_xid(view.header.xid);
    puts = change_.finish();
  }
  if (!puts.empty()) store_.put(view.end, puts);
}

// As Postgres copies files: every page of the source as it was before this record.
void Ingest::copy_pages(const DatabaseCopy& copy, Lsn end) {
  std::vector<std::pair<RelTag, uint32_t>> relations;
  Lsn before;
  {
    MutexLock lock(mutex_);
    before = head_.lsn;
    const auto& all = head_.relations();
    for (auto at = all.lower_bound(RelTag::relation(copy.from_spc, copy.from_db, 0, Fork::main));
         at != all.end() && at->first.spc == copy.from_spc && at->first.db == copy.from_db; ++at)
      relations.push_back(*at);
  }
  if (before > store_.last_record_lsn()) store_.advance(before);
  std::vector<std::string> pages;
  std::vector<Put> puts;
  auto flush = [&] {
    if (!puts.empty()) store_.put(end, puts);
    puts.clear();
    pages.clear();
  };
  pages.reserve(kPagesPerPut);
  for (auto [tag, count] : relations) {
    for (uint32_t block = 0; block < count; ++block) {
      PageKey to{RelTag::relation(copy.spc, copy.db, tag.rel, static_cast<Fork>(tag.fork)), block};
      const std::string& page = pages.emplace_back(read_page_({tag, block}, before));
      bool zero = all_zero(page);
      puts.push_back({Key::page(to), zero ? ValueKind::zero : ValueKind::image,
                      zero ? Bytes() : as_bytes(page)});
      if (pages.size() == kPagesPerPut) flush();
    }
  }
  flush();
}

Lsn Ingest::next_lsn() const {
  MutexLock feeding(feeding_);
  return reader_.position();
}

void Ingest::put_file(const std::string& path, std::string content) {
  MutexLock feeding(feeding_);
  or_fail([&]() REQUIRES(feeding_) {
    std::span<const Put> puts;
    Lsn lsn;
    {
      MutexLock lock(mutex_);
      lsn = head_.lsn;
      change_.begin(lsn);
      if (content.empty())
        change_.remove_file(path);
      else
        change_.set_file(path, std::move(content));
      puts = change_.finish();
    }
    if (!puts.empty()) store_.put(lsn, puts);
  });
}

Lsn Ingest::head_lsn() const {
  MutexLock lock(mutex_);
  return head_.lsn;
}

Skeleton Ingest::skeleton() const {
  MutexLock lock(mutex_);
  return build_skeleton(head_, major_);
}

std::optional<Skeleton> Ingest::skeleton_at(Lsn lsn) const {
  MutexLock lock(mutex_);
  if (failed_ || head_.lsn != lsn) return std::nullopt;
  return build_skeleton(head_, major_);
}

bool Ingest::failed() const {
  MutexLock lock(mutex_);
  return failed_;
}

uint64_t Ingest::logical_bytes() const {
  MutexLock lock(mutex_);
  return head_.logical_bytes();
}

CheckpointFields Ingest::checkpoint() const {
  MutexLock lock(mutex_);
  return head_.checkpoint;
}

std::optional<uint32_t> Ingest::relation_pages(const RelTag& tag) const {
  MutexLock lock(mutex_);
  return head_.relation_pages(tag);
}

}  // namespace halogen::pageserver
