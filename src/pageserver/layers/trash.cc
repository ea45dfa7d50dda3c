#include "pageserver/layers/trash.h"

#include <charconv>

#include "base/error.h"
#include "base/log.h"

namespace halogen::pageserver {

namespace {

const log::Logger logger("pageserver");

}  // namespace

fs::path move_to_trash(const fs::path& path, const fs::path& trash) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  fs::path to = trash / fmt::format("{}-{}", seconds, path.filename().string());
  fs::create_directories(trash);
  fsync_folder(trash.parent_path());
  fs::rename(path, to);
  fsync_folder(trash);
  fsync_folder(path.parent_path());
  return to;
}

void empty_trash(const fs::path& trash) {
  if (!fs::exists(trash)) return;
  const auto oldest = std::chrono::system_clock::now().time_since_epoch() - kTrashDays;
  for (const auto& entry : fs::directory_iterator(trash)) {
    std::string name = entry.path().filename().string();
    int64_t seconds = 0;
    auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), seconds);
    if (error != std::errc() || *end != '-') continue;  // Not ours.
    if (std::chrono::seconds(seconds) >= oldest) continue;
    logger.info("removing {} from the trash", name);
    fs::remove_all(entry.path());
  }
}

}  // namespace halogen::pageserver
