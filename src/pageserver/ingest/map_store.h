// map_store.h: for tests only: a Store that is a std::map.
#pragma once
#include <algorithm>
#include <map>
#include <string>

#include "base/error.h"
#include "pageserver/ingest/native_apply.h"
#include "pageserver/layers/store.h"

namespace halogen::pageserver {

class MapStore : public Store {
 public:
  void put(Lsn lsn, std::span<const Put> puts) override {
    CHECK(lsn >= last_put_, "put below an earlier one");
    last_put_ = lsn;
    for (const Put& put : puts) {
      versions_[put.key].push_back({lsn, put.kind, std::string(as_text(put.bytes))});
      bytes_ += put.bytes.size();
    }
    puts_ += puts.size();
  }
  void advance(Lsn lsn) override { last_ = lsn; }
  Lsn last_record_lsn() const override { return last_; }

  Chain collect(const Key& key, Lsn lsn) const override {
    auto found = versions_.find(key);
    if (found == versions_.end()) return {};
    const std::vector<Value>& all = found->second;
    auto end = std::find_if(all.begin(), all.end(), [&](const Value& v) { return v.lsn > lsn; });
    auto begin = end;
    while (begin != all.begin())
      if (is_base((--begin)->kind)) break;
    return {begin, end};
  }
  void scan(const Key& first, const Key& last, Lsn lsn,
            const std::function<void(const Key&, const Value&)>& visit) const override {
    for (auto at = versions_.lower_bound(first); at != versions_.end() && at->first <= last; ++at) {
      Chain chain = collect(at->first, lsn);
      if (!chain.empty() && chain.back().kind != ValueKind::tombstone)
        visit(at->first, chain.back());
    }
  }

  // A page whose versions need no redo; of others only what comes before the first WAL record.
  std::string native_page(const Key& key, Lsn lsn) const {
    std::string page(kPageSize, '\0');
    for (const Value& value : collect(key, lsn)) {
      if (value.kind == ValueKind::image) page = value.bytes;
      if (value.kind == ValueKind::native)
        apply_native(key, std::span<char, kPageSize>(page.data(), kPageSize), value.lsn,
                     as_bytes(value.bytes));
      if (value.kind == ValueKind::record || value.kind == ValueKind::record_init) break;
    }
    return page;
  }
  const std::map<Key, std::vector<Value>>& versions() const { return versions_; }
  size_t put_bytes() const { return bytes_; }
  size_t put_count() const { return puts_; }

 private:
  std::map<Key, std::vector<Value>> versions_;
  Lsn last_;
  Lsn last_put_;
  size_t bytes_ = 0;
  size_t puts_ = 0;
};

}  // namespace halogen::pageserver
