#include "compute/shim/manifest_builder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_map>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "compute/shim/manifest.h"
#include "compute/shim/segment_path.h"

namespace halogen::shim {
namespace {

struct Segment {
  SegmentId id;
  uint32_t pages = 0;
  uint8_t flags = 0;
};

SegmentId segment_id(const RelTag& tag, uint32_t number) {
  SegmentId id;
  id.kind = static_cast<uint8_t>(tag.kind);
  id.fork = tag.fork;
  id.spc = tag.spc;
  id.db = tag.db;
  id.rel = tag.rel;
  id.number = number;
  return id;
}

SegmentId segment_id(const PageKey& key) {
  uint8_t kind = static_cast<uint8_t>(key.tag.kind);
  return segment_id(key.tag, key.block / segment_pages(kind));
}

// Postgres wants segment 0 even of an empty relation, and every segment but the last to be full.
void add_relation(std::vector<Segment>& out, const RelTag& tag, uint32_t pages, uint8_t flags) {
  uint32_t number = 0;
  do {
    uint32_t here = std::min(pages, kRelSegmentPages);
    out.push_back({segment_id(tag, number++), here, flags});
    pages -= here;
  } while (pages != 0);
}

// By directory, and within it so that copies of an init fork come behind a listed main fork.
bool comes_before(const Segment& a, const Segment& b) {
  DirectoryId da = directory_of(a.id);
  DirectoryId db = directory_of(b.id);
  if (da.kind != db.kind) return da.kind < db.kind;
  if (da.fork != db.fork) return da.fork < db.fork;
  if (da.spc != db.spc) return da.spc < db.spc;
  if (da.db != db.db) return da.db < db.db;
  if (a.id.rel != b.id.rel) return a.id.rel < b.id.rel;
  if (a.id.fork != b.id.fork) return a.id.fork < b.id.fork;
  if (a.id.number != b.id.number) return a.id.number < b.id.number;
  return a.flags < b.flags;
}

std::vector<Segment> list_segments(const Skeleton& skeleton) {
  std::vector<Segment> segments;
  segments.reserve(skeleton.relations.size() + skeleton.slrus.size());
  for (const RelSize& relation : skeleton.relations) {
    if (relation.tag.fork == static_cast<uint8_t>(Fork::init))
      add_relation(segments, relation.tag.with_fork(Fork::main), relation.pages, kFromInitFork);
    add_relation(segments, relation.tag, relation.pages, 0);
  }
  for (const SlruSegment& slru : skeleton.slrus)
    segments.push_back({segment_id(RelTag::slru(slru.slru), slru.segment), slru.pages, 0});
  if (!std::is_sorted(segments.begin(), segments.end(), comes_before))
    std::sort(segments.begin(), segments.end(), comes_before);
  // A main fork listed beside its init fork wins over the copy of the init fork.
  auto same = [](const Segment& a, const Segment& b) { return a.id == b.id; };
  segments.erase(std::unique(segments.begin(), segments.end(), same), segments.end());
  return segments;
}

uint64_t align(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

uint32_t hash_slots_for(size_t entries) {
  uint32_t slots = 16;
  while (slots < entries * 2) slots *= 2;
  return slots;
}

// All of the file but the locks and bitmaps, which are zero.
class Image {
 public:
  Image(const std::vector<Segment>& segments, const Skeleton& skeleton,
        const ManifestOptions& options);

  Bytes bytes() const { return {reinterpret_cast<const std::byte*>(words_.get()), size_}; }
  ManifestHeader& header() { return *reinterpret_cast<ManifestHeader*>(words_.get()); }
  Entry* find(const SegmentId& id);

 private:
  template <typename T>
  T* at(uint64_t offset) {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(words_.get()) + offset);
  }
  void lay_out(uint32_t directories, size_t entries, uint64_t bits);
  void fill(const std::vector<Segment>& segments);

  std::unique_ptr<uint64_t[]> words_;
  size_t size_ = 0;
};

void set_options(ManifestHeader& header, const ManifestOptions& options) {
  if (options.socket_path.size() >= sizeof header.socket_path)
    throw Error(Errc::invalid_argument, "socket path too long: {}", options.socket_path);
  std::memset(header.socket_path, 0, sizeof header.socket_path);
  std::memcpy(header.socket_path, options.socket_path.data(), options.socket_path.size());
  header.token = options.token;
  header.fetch_deadline_ms = static_cast<uint32_t>(options.fetch_deadline.count());
  header.flags = options.keep_relcache_files ? kKeepRelcacheFiles : 0;
  header.cache_limit.store((options.cache_bytes + kPageSize - 1) / kPageSize);
}

Image::Image(const std::vector<Segment>& segments, const Skeleton& skeleton,
             const ManifestOptions& options) {
  uint32_t directories = 0;
  uint64_t bits = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    bits += uint64_t{chunks_of(segments[i].pages)} * kChunkBlocks;
    if (i == 0 || directory_of(segments[i].id) != directory_of(segments[i - 1].id)) ++directories;
  }
  lay_out(directories, segments.size(), bits);
  ManifestHeader& h = header();
  h.major = static_cast<uint32_t>(skeleton.major);
  h.read_lsn.store(skeleton.lsn.value);
  std::string version = version_directory(skeleton.major);
  std::memcpy(h.version_directory, version.data(), version.size());
  set_options(h, options);
  fill(segments);
}

void Image::lay_out(uint32_t directories, size_t entries, uint64_t bits) {
  ManifestHeader h;
  h.directories = directories;
  h.entries = static_cast<uint32_t>(entries);
  h.hash_slots = hash_slots_for(entries);
  h.bitmap_words = bits / 64;
  h.directories_at = align(sizeof h, 64);
  h.entries_at = align(h.directories_at + directories * sizeof(Directory), 64);
  h.hash_at = align(h.entries_at + entries * sizeof(Entry), 64);
  size_ = align(h.hash_at + h.hash_slots * sizeof(uint32_t), 4096);
  h.locks_at = size_;
  h.present_at = align(h.locks_at + kAllLocks * sizeof(Lock), 4096);
  h.written_at = align(h.present_at + h.bitmap_words * 8, 4096);
  h.growth_at = align(h.written_at + h.bitmap_words * 8, 4096);
  h.added_at = align(h.growth_at + (entries + kMostAdded) * sizeof(Growth), 64);
  h.added_hash_at = align(h.added_at + kMostAdded * sizeof(Entry), 64);
  h.file_bytes = align(h.added_hash_at + kAddedSlots * sizeof(uint32_t), 4096);
  words_ = std::make_unique<uint64_t[]>(size_ / 8);
  auto* to = new (words_.get()) ManifestHeader;
  to->directories = h.directories;
  to->entries = h.entries;
  to->hash_slots = h.hash_slots;
  to->bitmap_words = h.bitmap_words;
  to->directories_at = h.directories_at;
  to->entries_at = h.entries_at;
  to->hash_at = h.hash_at;
  to->locks_at = h.locks_at;
  to->present_at = h.present_at;
  to->written_at = h.written_at;
  to->growth_at = h.growth_at;
  to->added_at = h.added_at;
  to->added_hash_at = h.added_hash_at;
  to->file_bytes = h.file_bytes;
}

void Image::fill(const std::vector<Segment>& segments) {
  const ManifestHeader& h = header();
  auto* hash = at<uint32_t>(h.hash_at);
  Directory* directory = nullptr;
  uint64_t bit = 0;
  for (uint32_t i = 0; i < segments.size(); ++i) {
    const Segment& segment = segments[i];
    auto* entry = new (at<Entry>(h.entries_at) + i) Entry;
    entry->id = segment.id;
    entry->pages = segment.pages;
    entry->flags = segment.flags;
    entry->first_bit = bit;
    bit += uint64_t{chunks_of(segment.pages)} * kChunkBlocks;

    DirectoryId id = directory_of(segment.id);
    if (i == 0 || id != directory_of(segments[i - 1].id)) {
      directory = directory == nullptr ? at<Directory>(h.directories_at) : directory + 1;
      new (directory) Directory;
      directory->kind = id.kind;
      directory->fork = id.fork;
      directory->spc = id.spc;
      directory->db = id.db;
      directory->first_entry = i;
    }
    ++directory->entries;

    auto slot = static_cast<uint32_t>(hash_of(segment.id)) & (h.hash_slots - 1);
    while (hash[slot] != 0) slot = (slot + 1) & (h.hash_slots - 1);
    hash[slot] = i + 1;
  }
}

Entry* Image::find(const SegmentId& id) {
  const ManifestHeader& h = header();
  const auto* hash = at<uint32_t>(h.hash_at);
  for (auto slot = static_cast<uint32_t>(hash_of(id)) & (h.hash_slots - 1); hash[slot] != 0;
       slot = (slot + 1) & (h.hash_slots - 1)) {
    Entry* entry = at<Entry>(h.entries_at) + (hash[slot] - 1);
    if (entry->id == id) return entry;
  }
  return nullptr;
}

// The whole file, shared.
class Mapping {
 public:
  // A compute could have put a link, or anything else, in its place.
  Mapping(const fs::path& file, bool writable) : Mapping(file, writable, Unchecked()) {
    const ManifestHeader& h = header();
    if (h.magic != kManifestMagic || h.version != kManifestVersion || h.file_bytes > size_ ||
        h.added.load() > kMostAdded ||
        !holds(h.growth_at, uint64_t{h.entries} + kMostAdded, sizeof(Growth)) ||
        !holds(h.added_at, kMostAdded, sizeof(Entry)) ||
        !holds(h.file_bytes, h.bitmaps.load(), sizeof(GrowthBitmap)) ||
        !holds(h.entries_at, h.entries, sizeof(Entry)) ||
        !holds(h.present_at, h.bitmap_words, sizeof(uint64_t)) ||
        !holds(h.written_at, h.bitmap_words, sizeof(uint64_t)))
      throw Error(Errc::corrupt, "{} is not a sound manifest", file.string());
  }
  ~Mapping() {
    if (base_ != MAP_FAILED) ::munmap(base_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  int fd() const { return fd_.get(); }
  uint32_t entries() const { return header().entries + header().added.load(); }
  const Entry& entry(uint32_t index) const {
    const ManifestHeader& h = header();
    const bool added = index >= h.entries;
    const auto* entries = reinterpret_cast<const Entry*>(words(added ? h.added_at : h.entries_at));
    return entries[added ? index - h.entries : index];
  }
  Growth& growth(uint32_t index) const {
    return reinterpret_cast<Growth*>(words(header().growth_at))[index];
  }
  ManifestHeader& header() const { return *static_cast<ManifestHeader*>(base_); }
  uint64_t* words(uint64_t offset) const {
    return reinterpret_cast<uint64_t*>(static_cast<char*>(base_) + offset);
  }

 private:
  struct Unchecked {};
  // Made before it is checked, so that it is unmapped if that throws.
  Mapping(const fs::path& file, bool writable, Unchecked)
      : fd_(open_file(file, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK)) {
    struct stat info;
    if (::fstat(fd_.get(), &info) != 0) throw system_error(errno, file.string());
    if (!S_ISREG(info.st_mode)) throw Error(Errc::corrupt, "{} is not a manifest", file.string());
    size_ = static_cast<size_t>(info.st_size);
    if (size_ < sizeof(ManifestHeader))
      throw Error(Errc::corrupt, "{} is not a manifest", file.string());
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    base_ = ::mmap(nullptr, size_, protection, MAP_SHARED, fd_.get(), 0);
    if (base_ == MAP_FAILED) throw system_error(errno, file.string());
  }

  bool holds(uint64_t at, uint64_t count, size_t each) const {
    return at % 8 == 0 && at <= size_ && count <= (size_ - at) / each;
  }

  UniqueFd fd_;
  void* base_ = MAP_FAILED;
  size_t size_ = 0;
};

PageKey first_of_segment(PageKey key) {
  key.block -= key.block % segment_pages(static_cast<uint8_t>(key.tag.kind));
  return key;
}

// By the key of a segment's first block.
using SegmentPages = std::unordered_map<PageKey, uint32_t, PageKeyHash>;

SegmentPages sizes_of_hot_segments(const Skeleton& skeleton) {
  SegmentPages sizes;
  for (const HotPage& hot : skeleton.hot_pages) sizes[first_of_segment(hot.key)] = 0;
  auto note = [&](const PageKey& first, uint32_t pages) {
    if (auto found = sizes.find(first); found != sizes.end()) found->second = pages;
  };
  for (const RelSize& relation : skeleton.relations)
    for (uint64_t at = 0; at < relation.pages; at += kRelSegmentPages)
      note({relation.tag, static_cast<uint32_t>(at)},
           static_cast<uint32_t>(std::min<uint64_t>(relation.pages - at, kRelSegmentPages)));
  for (const SlruSegment& slru : skeleton.slrus)
    note({RelTag::slru(slru.slru), slru.segment * kSlruSegmentPages}, slru.pages);
  return sizes;
}

// A data directory whose server has made so much anew is soon of no more use than a new one.
void refuse_if_full(const ManifestHeader& header, const fs::path& file) {
  if (header.added.load() > kMostAdded / 4 * 3 || header.bitmaps.load() > kMostBitmaps / 4 * 3)
    throw Error(Errc::conflict, "{} has no room for what is to come", file.string());
}

// What is past the blocks at boot: the rest is clean now.
int64_t count_grown(const Mapping& map) {
  const ManifestHeader& header = map.header();
  int64_t count = 0;
  for (uint32_t i = 0; i < map.entries(); ++i) {
    Growth& growth = map.growth(i);
    uint32_t here = can_evict(map.entry(i)) ? growth.blocks.load() : 0;
    if (uint32_t number = growth.bitmap.load(); here != 0 && number != 0) {
      if (number > header.bitmaps.load()) throw Error(Errc::corrupt, "a manifest is damaged");
      const GrowthBitmap* bitmaps =
          reinterpret_cast<const GrowthBitmap*>(map.words(header.file_bytes));
      int absent = 0;
      for (const auto& word : bitmaps[number - 1].absent) absent += std::popcount(word.load());
      here -= std::min(here, static_cast<uint32_t>(absent));
    }
    growth.written.store(static_cast<int32_t>(here));
    count += here;
  }
  return count;
}

void mark_local(const Mapping& map, const std::vector<uint64_t>& bits) {
  uint64_t* words = map.words(map.header().present_at);
  for (uint64_t bit : bits) words[bit / 64] |= uint64_t{1} << (bit % 64);
}

// With nothing written. The compute may have written anything here.
int64_t count_evictable(const Mapping& map) {
  const ManifestHeader& header = map.header();
  const auto* entries = reinterpret_cast<const Entry*>(map.words(header.entries_at));
  const uint64_t* present = map.words(header.present_at);
  int64_t count = 0;
  for (uint32_t i = 0; i < header.entries; ++i) {
    if (!can_evict(entries[i])) continue;
    uint64_t first = entries[i].first_bit / 64;
    uint64_t end = first + uint64_t{chunks_of(entries[i].pages)} * kChunkWords;
    if (end > header.bitmap_words) throw Error(Errc::corrupt, "a manifest is damaged");
    for (uint64_t word = first; word < end; ++word) count += std::popcount(present[word]);
  }
  return count;
}

}  // namespace

std::string version_directory(int major) {
  // The catalog version, fixed within a major.
  if (major == 15) return "PG_15_202209061";
  throw Error(Errc::invalid_argument, "no PostgreSQL {} here", major);
}

std::string segment_file(const PageKey& key, int major) {
  char path[kSegmentPathMax];
  format_segment(segment_id(key), version_directory(major).c_str(), path);
  return path;
}

// Many wakes at once must not want all the descriptors there are.
constexpr size_t kOpenFiles = 200;

std::vector<PageKey> install_hot_pages(const fs::path& data_directory, const Skeleton& skeleton) {
  if (skeleton.hot_pages.empty()) return {};
  SegmentPages segment_sizes = sizes_of_hot_segments(skeleton);
  std::string version = version_directory(skeleton.major);
  std::unordered_map<std::string, UniqueFd> files;
  std::vector<PageKey> written;
  for (const HotPage& hot : skeleton.hot_pages) {
    PageKey segment = first_of_segment(hot.key);
    uint32_t pages = segment_sizes[segment];
    uint32_t block = hot.key.block - segment.block;
    if (block >= pages) continue;  // The relation shrank since.
    char name[kSegmentPathMax];
    format_segment(segment_id(hot.key), version.c_str(), name);
    if (files.size() >= kOpenFiles) files.clear();  // Those that come again are opened again.
    UniqueFd& fd = files[name];
    if (!fd.valid()) {
      fs::path path = data_directory / name;
      fd = open_file(path, O_WRONLY | O_CREAT);
      if (::ftruncate(fd.get(), static_cast<off_t>(pages) * kPageSize) != 0)
        throw system_error(errno, path.string());
    }
    pwrite_all(fd.get(), as_bytes(*hot.page), uint64_t{block} * kPageSize);
    written.push_back(hot.key);
  }
  return written;
}

void build_manifest(const fs::path& file, const Skeleton& skeleton, const ManifestOptions& options,
                    std::span<const PageKey> local_pages) {
  Image image(list_segments(skeleton), skeleton, options);
  std::vector<uint64_t> local_bits;
  for (const PageKey& key : local_pages) {
    Entry* entry = image.find(segment_id(key));
    uint32_t block = key.block % segment_pages(static_cast<uint8_t>(key.tag.kind));
    if (entry == nullptr || block >= entry->pages) continue;
    entry->state.store(kMade);
    local_bits.push_back(entry->first_bit + block);
    if (can_evict(*entry)) image.header().cached += 1;
  }
  UniqueFd fd = open_file(file, O_RDWR | O_CREAT | O_TRUNC);
  // What is mapped is allocated: on a full disk a hole would end the process that writes to it.
  const auto size = static_cast<off_t>(image.header().file_bytes);
  if (int error = ::posix_fallocate(fd.get(), 0, size); error != 0)
    throw system_error(error, file.string());
  pwrite_all(fd.get(), image.bytes(), 0);
  if (!local_bits.empty()) mark_local(Mapping(file, true), local_bits);
}

void rebase_manifest(const fs::path& file, Lsn lsn, const ManifestOptions& options) {
  Mapping map(file, true);
  ManifestHeader& header = map.header();
  refuse_if_full(header, file);
  set_options(header, options);
  header.read_lsn.store(lsn.value);
  new (&header.counters) Counters{};
  header.cached.store(count_evictable(map));
  header.written.store(count_grown(map));
  header.swept_at.store(0);
  // Zeroed without being read, and still allocated; where the file system cannot, by hand.
  auto at = static_cast<off_t>(header.written_at);
  auto bytes = static_cast<off_t>(header.bitmap_words * 8);
  if (bytes != 0 &&
      ::fallocate(map.fd(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, bytes) != 0)
    std::memset(map.words(header.written_at), 0, static_cast<size_t>(bytes));
}

// By pread: the file is the compute's, too, and what is mapped of a file that it cuts short is a
// SIGBUS.
uint64_t read_role_changes(int manifest) noexcept {
  uint64_t count = 0;
  const ssize_t got =
      ::pread(manifest, &count, sizeof count, offsetof(ManifestHeader, role_changes));
  return got == static_cast<ssize_t>(sizeof count) ? count : 0;
}

bool wants_later_read_lsn(int manifest) noexcept {
  // Of the header's words; what a compute has written there decides about no more than itself.
  auto word = [manifest](size_t at) {
    uint64_t value = 0;
    return ::pread(manifest, &value, sizeof value, static_cast<off_t>(at)) == sizeof value ? value
                                                                                           : 0;
  };
  const auto limit = static_cast<int64_t>(word(offsetof(ManifestHeader, cache_limit)));
  const auto written = static_cast<int64_t>(word(offsetof(ManifestHeader, written)));
  return limit != 0 && written > limit / 2 &&
         word(offsetof(ManifestHeader, swept_at)) == word(offsetof(ManifestHeader, read_lsn));
}

void set_read_lsn(int manifest, Lsn lsn) {
  const uint64_t value = lsn.value;
  if (::pwrite(manifest, &value, sizeof value, offsetof(ManifestHeader, read_lsn)) != sizeof value)
    throw system_error(errno, "a manifest");
}

ManifestStatus read_manifest_status(const fs::path& file) {
  Mapping map(file, false);
  const ManifestHeader& header = map.header();
  const Counters& c = header.counters;
  ManifestStatus status;
  status.read_lsn = Lsn(header.read_lsn.load());
  status.major = static_cast<int>(header.major);
  status.segments = header.entries;
  status.requests = c.requests.load();
  status.pages_fetched = c.pages_fetched.load();
  status.pages_installed = c.pages_installed.load();
  status.conflicts = c.conflicts.load();
  status.waits = c.waits.load();
  status.wait_microseconds = c.wait_microseconds.load();
  status.files_made = c.files_made.load();
  status.failed_reads = c.failed_reads.load();
  status.pages_evicted = c.pages_evicted.load();
  status.written_evicted = c.written_evicted.load();
  status.pages_not_kept = c.pages_not_kept.load();
  status.cached = header.cached.load();
  status.written = header.written.load();
  return status;
}

}  // namespace halogen::shim
