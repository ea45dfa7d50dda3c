// layer_reader.h: a layer file back out of the store, checked. Any number of threads.
#pragma once
#include <functional>

#include "archive/formats.h"
#include "objectstore/object_store.h"

namespace halogen::archive {

// Calls `take` with it, piece by piece. corrupt, at the end, if it is not what was put.
void read_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                const ArchivedLayer& layer, const std::function<void(Bytes)>& take);
// Writes it to `file`, which is synced, but not its name. `pause` is called before each piece.
void write_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                 const ArchivedLayer& layer, const fs::path& file,
                 const std::function<void()>& pause);
// Writes it, checked and durable.
void fetch_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                 const ArchivedLayer& layer, const fs::path& file);

}  // namespace halogen::archive
