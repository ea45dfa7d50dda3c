// recovery.h: a home brought back from an object store, before anything runs in it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "platform/object_store.h"

namespace halogen::platform {

struct RecoveryOptions {
  fs::path key_file;  // Of the catalog's passwords, if it is elsewhere.
  bool forget_unreadable_passwords = false;
  std::function<void(const std::string&)> progress;  // For a person who waits.
};

// Everything, into a home without a catalog; the catalog comes last, so that one that was cut short
// can be begun again. Layer files come later, when they are read. From then on the store is this
// home's. Timelines that cannot be brought back are named in the log, and keep no other one back.
// Throws not_found if the store has no platform's data.
void restore_home(const Layout& layout, const ObjectStore& store, const RecoveryOptions& options);

// Timelines that the catalog names and the pageserver has lost, with its disk. Their WAL is the
// safekeeper's; one that was never copied is made anew of it, where it is sure what it began with.
void restore_lost_pages(const Layout& layout, const ObjectStore& store,
                        const RecoveryOptions& options);

// Branches whose timeline the pageserver has not got.
std::vector<std::string> lost_branches(const Layout& layout);

// The layer files that this store alone has, before the home does without it.
void bring_layers_back(const Layout& layout, const ObjectStore& store,
                       const RecoveryOptions& options);

}  // namespace halogen::platform
