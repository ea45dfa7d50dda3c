// recovery.h: a home brought back from an object store, before anything runs in it.
#pragma once
#include <functional>

#include "platform/object_store.h"

namespace halogen::platform {

struct RecoveryOptions {
  fs::path key_file;  // Of the catalog's passwords, if it is elsewhere.
  bool forget_unreadable_passwords = false;
  std::function<void(const std::string&)> progress;  // For a person who waits.
};

// Everything, into a home without a catalog; the catalog comes last, so that one that was cut short
// can be begun again. From then on the store is this home's. Throws not_found if the store has no
// platform's data.
void restore_home(const Layout& layout, const ObjectStore& store, const RecoveryOptions& options);

// Timelines that the catalog names and the pageserver has lost, with its disk. Their WAL is the
// safekeeper's.
void restore_lost_pages(const Layout& layout, const ObjectStore& store,
                        const RecoveryOptions& options);

}  // namespace halogen::platform
