// restore.h: a pageserver's folder made of copies that were kept elsewhere, while none runs.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/ids.h"

namespace halogen::pageserver {

// The file that a layer of a timeline has.
fs::path layer_path(const fs::path& home, TimelineId timeline, uint64_t layer);

// The timeline exists from when this returns. Requires that its layers are there: `corrupt` if one
// is not. `manifest` as the pageserver wrote it.
void restore_timeline(const fs::path& home, TimelineId timeline, const std::string& manifest);

}  // namespace halogen::pageserver
