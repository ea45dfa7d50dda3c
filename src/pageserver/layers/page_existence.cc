#include "pageserver/layers/page_existence.h"

namespace halogen::pageserver {

std::pair<Key, uint32_t> PageExistence::length_of(const Key& page) {
  if (page.kind == KeyKind::relation_page)
    return {Key::relation_size(page.page_key().tag), page.block};
  Key segment = page;
  segment.kind = KeyKind::slru_segment;
  segment.block = page.block / kSlruSegmentPages;
  return {segment, page.block % kSlruSegmentPages};
}

bool PageExistence::operator()(const Key& key, Lsn lsn) {
  if (!key.is_page()) return true;
  const auto [length_key, place] = length_of(key);
  if (length_key_ != length_key) {
    length_key_ = length_key;
    lengths_.clear();
  }
  auto [at, fresh] = lengths_.try_emplace(lsn);
  if (fresh) {
    const Chain chain = read_(length_key, lsn);
    if (!chain.empty())
      at->second = chain.back().bytes.empty() ? 0 : Reader(chain.back().bytes).get<uint32_t>();
  }
  return !at->second || place < *at->second;
}

}  // namespace halogen::pageserver
