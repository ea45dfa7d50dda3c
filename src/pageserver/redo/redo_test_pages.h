// redo_test_pages.h: the pages in a stopped server's files.
#pragma once
#include <cstdio>
#include <map>
#include <string>

#include "base/file.h"
#include "protocol/page_key.h"

namespace halogen::pageserver::testing {

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
