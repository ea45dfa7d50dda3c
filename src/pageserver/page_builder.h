// page_builder.h: a page from its versions: images and zeros as they are, WAL records by redo in as
// few calls as can be, native changes by our own code.
#pragma once
#include <optional>
#include <string>

#include "pageserver/layers/timeline_store.h"
#include "pageserver/redo/redo.h"

namespace halogen::pageserver {

// `base` is the page as it was before `chain`; without one, the chain must begin with a base.
// 8192 bytes. Throws corrupt (damaged history), timed_out, unavailable.
std::string build_page(const PageKey& key, std::optional<std::string> base, const Chain& chain,
                       Redo& redo, Deadline deadline);

// Makes the pages of flushes and merges; `redo` must outlive what it returns.
Reconstruct reconstruct_with(Redo& redo);

}  // namespace halogen::pageserver
