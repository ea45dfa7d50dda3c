// storage_dump.h: what is stored, as text for people. Reads files only, also those of a running
// pageserver.
//
// Everything throws Error for what is damaged or not there.
#pragma once
#include <functional>
#include <string>

#include "pageserver/layers/manifest.h"
#include "protocol/page_key.h"

namespace halogen::pageserver {

using PrintLine = std::function<void(const std::string&)>;

// "relation 1663/5/16384 main block 7", "size of relation ...".
std::string key_text(const Key& key);
// "1663/5/16384/7", with the fork's name as "1663/5/16384/vm/0". Throws invalid_argument.
PageKey parse_page_key(std::string_view text);

// The timeline in this folder: its ancestor, horizon, runs and files.
void dump_manifest(const fs::path& folder, const PrintLine& print);
// A layer file's footer, and a line for each version in it.
void dump_layer(const fs::path& file, const PrintLine& print);
// The versions that make the page as of `lsn`, from layer files of the timeline in this folder and
// of its ancestors beside it, and the page's header and items if they can be had without Postgres.
// What is in memory or only in WAL is not seen.
void dump_page(const fs::path& folder, const PageKey& key, Lsn lsn, const PrintLine& print);

}  // namespace halogen::pageserver
