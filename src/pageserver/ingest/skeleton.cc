#include "pageserver/ingest/skeleton.h"

#include <fmt/core.h>

#include <set>

#include "postgres/pg15.h"

namespace halogen::pageserver {
namespace {

// The main, fsm and vm forks of a relation with an init fork are the compute's own affair.
void add_relations(const Head& head, Skeleton& skeleton) {
  skeleton.relations.reserve(head.relations().size());
  size_t first_fork = 0;  // Of the relation at hand, in skeleton.relations.
  for (const auto& [tag, pages] : head.relations()) {
    auto& list = skeleton.relations;
    if (list.empty() || first_fork == list.size() ||
        list[first_fork].tag.with_fork(Fork::main) != tag.with_fork(Fork::main))
      first_fork = list.size();
    if (tag.fork == static_cast<uint8_t>(Fork::init)) list.resize(first_fork);
    list.push_back({tag, pages});
  }
}

void add_directories(const Head& head, const MajorLayout& major, Skeleton& skeleton) {
  for (const auto& [spc, location] : head.tablespaces) {
    if (spc == pg15::kDefaultTablespace || spc == pg15::kGlobalTablespace) continue;
    skeleton.directories.push_back(fmt::format("pg_tblspc/{}", spc));
    skeleton.directories.push_back(fmt::format("pg_tblspc/{}/{}", spc, major.tablespace_folder));
  }
  // A relation may lie in a tablespace that its database was not created in.
  std::set<std::pair<uint32_t, uint32_t>> folders = head.databases;
  auto last = folders.end();
  for (const auto& [tag, pages] : head.relations())
    if (last == folders.end() || *last != std::pair(tag.spc, tag.db))
      last = folders.insert({tag.spc, tag.db}).first;
  for (const auto& [spc, db] : folders)
    if (spc != pg15::kGlobalTablespace)
      skeleton.directories.push_back(database_folder(major.tablespace_folder, spc, db));
}

}  // namespace

Skeleton build_skeleton(const Head& head, const MajorLayout& major) {
  Skeleton skeleton;
  skeleton.lsn = head.lsn;
  skeleton.major = major.major;
  skeleton.checkpoint = head.checkpoint;
  skeleton.relcache_invalidated_at = head.relcache_invalidated_at;
  add_relations(head, skeleton);
  add_directories(head, major, skeleton);
  for (const auto& [id, pages] : head.slru_segments)
    skeleton.slrus.push_back({static_cast<Slru>(id.first), id.second, pages});
  for (const auto& [path, content] : head.files) skeleton.files.push_back({path, *content});
  return skeleton;
}

Skeleton build_skeleton(const Store& store, Lsn lsn, int major) {
  return build_skeleton(Head::load(store, lsn), major_layout(major));
}

}  // namespace halogen::pageserver
