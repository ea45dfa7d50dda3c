#include "pageserver/layers/memory_layer.h"

#include <algorithm>

#include "base/error.h"

namespace halogen::pageserver {

namespace {

constexpr size_t kFirstChunk = 64 << 10;  // Most timelines are small and many.
constexpr size_t kChunk = 1 << 20;
constexpr size_t kKeyOverhead = 96;  // A hash node and the first allocation of its versions.

bool lsn_before(Lsn lsn, const MemoryLayer::Version& version) { return lsn < version.lsn; }

}  // namespace

const std::byte* Arena::append(Bytes bytes) {
  if (bytes.empty()) return nullptr;
  if (bytes.size() > left_) {
    size_t size = std::max(bytes.size(), chunks_.empty() ? kFirstChunk : kChunk);
    chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(size));
    next_ = chunks_.back().get();
    left_ = size;
    reserved_ += size;
  }
  std::byte* at = next_;
  std::memcpy(at, bytes.data(), bytes.size());
  next_ += bytes.size();
  left_ -= bytes.size();
  return at;
}

void MemoryLayer::put(Lsn lsn, std::span<const Put> puts) {
  size_t added = 0;
  if (lsn.value < first_lsn_) first_lsn_ = lsn.value;
  WriterLock lock(mutex_);
  for (const Put& put : puts) {
    Versions& versions = put.key.is_page() ? pages_[put.key] : metadata_[put.key];
    bool fresh = versions.empty();
    CHECK(fresh || versions.back().lsn <= lsn);
    versions.push_back(
        {lsn, arena_.append(put.bytes), static_cast<uint32_t>(put.bytes.size()), put.kind});
    added += put.bytes.size() + sizeof(Version) + (fresh ? kKeyOverhead : 0);
  }
  bytes_.fetch_add(added, std::memory_order_relaxed);
}

const MemoryLayer::Versions* MemoryLayer::find(const Key& key) const {
  if (key.is_page()) {
    auto found = pages_.find(key);
    return found == pages_.end() ? nullptr : &found->second;
  }
  auto found = metadata_.find(key);
  return found == metadata_.end() ? nullptr : &found->second;
}

bool MemoryLayer::walk(const Key& key, Lsn lsn, const VisitVersion& visit) const {
  if (lsn.value < first_lsn_) return true;
  Versions seen;  // Copied, as the vector may grow once the lock is gone. Newest first.
  {
    ReaderLock lock(mutex_);
    const Versions* all = find(key);
    if (!all) return true;
    auto end = std::upper_bound(all->begin(), all->end(), lsn, lsn_before);
    for (auto at = end; at != all->begin();) {
      seen.push_back(*--at);
      if (is_base(at->kind)) break;
    }
  }
  for (const Version& version : seen) {
    if (!visit({key, version.lsn, version.kind, Bytes(version.data, version.size)})) return false;
  }
  return true;
}

std::vector<std::pair<Key, Value>> MemoryLayer::newest(const Key& first, const Key& last,
                                                       Lsn lsn) const {
  if (lsn.value < first_lsn_) return {};
  std::vector<std::pair<Key, Version>> seen;
  {
    ReaderLock lock(mutex_);
    auto see = [&](const Key& key, const Versions& all) {
      auto end = std::upper_bound(all.begin(), all.end(), lsn, lsn_before);
      if (end != all.begin()) seen.emplace_back(key, *std::prev(end));
    };
    if (first.is_page()) {
      for (const auto& [key, all] : pages_)
        if (key >= first && key <= last) see(key, all);
    }
    for (auto at = metadata_.lower_bound(first); at != metadata_.end() && at->first <= last; ++at)
      see(at->first, at->second);
  }
  std::sort(seen.begin(), seen.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<std::pair<Key, Value>> out;
  out.reserve(seen.size());
  for (const auto& [key, version] : seen) {
    Bytes bytes(version.data, version.size);
    out.emplace_back(key, Value{version.lsn, version.kind, std::string(as_text(bytes))});
  }
  return out;
}

std::vector<const MemoryLayer::KeyVersions*> MemoryLayer::sorted() const {
  std::vector<const KeyVersions*> out;
  {
    ReaderLock lock(mutex_);
    out.reserve(pages_.size() + metadata_.size());
    for (const KeyVersions& entry : pages_) out.push_back(&entry);
    for (const KeyVersions& entry : metadata_) out.push_back(&entry);
  }
  std::sort(out.begin(), out.end(), [](auto* a, auto* b) { return a->first < b->first; });
  return out;
}

}  // namespace halogen::pageserver
