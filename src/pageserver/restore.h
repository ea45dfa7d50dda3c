// restore.h: a pageserver's folder made of copies that were kept elsewhere, while none runs.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/ids.h"
#include "base/lsn.h"
#include "protocol/layer_copy.h"

namespace halogen::pageserver {

// The timeline exists from when this returns; its layer files are fetched when they are read.
// `manifest` as the pageserver wrote it, `copies` by the layers' numbers. corrupt if one has none.
void restore_timeline(const fs::path& home, TimelineId timeline, const std::string& manifest,
                      const std::map<uint64_t, LayerCopy>& copies);

// Takes back what restore_timeline() has made, whole or in part.
void remove_restored(const fs::path& home, TimelineId timeline);

// What is known of a branch whose own WAL is all there, on its safekeeper.
struct BranchBeginning {
  TenantId tenant;
  TimelineId timeline;
  uint32_t major = 0;
  std::optional<TimelineId> ancestor;  // None: the template.
  Lsn lsn;
};
// Makes it anew, as it was before any WAL. Its ancestor must be there: not_found; and have its
// history at that point: gone.
void remake_branch(const fs::path& home, const BranchBeginning& branch);

// Layer files that manifests name and the object store alone has.
struct LayerAway {
  LayerName name;
  LayerCopy copy;
  fs::path file;  // Where it belongs.
};
std::vector<LayerAway> layers_away(const fs::path& home);

}  // namespace halogen::pageserver
