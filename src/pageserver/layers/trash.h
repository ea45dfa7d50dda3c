// trash.h: folders of what nobody names any more and somebody may still want: `<seconds>-<name>`,
// by when it came there. It leaves after kTrashDays.
#pragma once
#include <chrono>

#include "base/file.h"

namespace halogen::pageserver {

constexpr std::chrono::days kTrashDays{7};

// Returns where it is now. Makes the trash if need be; durable afterwards.
fs::path move_to_trash(const fs::path& path, const fs::path& trash);
// Removes what has been there for long.
void empty_trash(const fs::path& trash);

}  // namespace halogen::pageserver
