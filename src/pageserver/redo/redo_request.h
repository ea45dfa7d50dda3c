// redo_request.h: a page's chain of records as requests of the redo protocol.
#pragma once
#include <optional>
#include <span>
#include <string>

#include "pageserver/redo/redo.h"

namespace halogen::pageserver {

// Throws invalid_argument for what no page can be made of, corrupt for records that are out of
// order or not newer than the base: redo would skip them without a word.
void check_chain(const PageKey& key, std::optional<Bytes> base,
                 std::span<const RedoRecord> records);

// Replaces `out` by the request for as many of `records` as fit, at least one; returns how many.
size_t encode_request(const PageKey& key, std::optional<Bytes> base,
                      std::span<const RedoRecord> records, std::string& out);

}  // namespace halogen::pageserver
