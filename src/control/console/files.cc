#include "control/console/files.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::control::console {
namespace {

constexpr std::string_view kIndex = "/index.html";
constexpr std::string_view kAssets = "/assets/";  // Vite names what is there by its hash.
// More than the page will ever have: a folder named by mistake is not read to the end.
constexpr size_t kMostFiles = 1000;
constexpr uintmax_t kMostBytes = 16 << 20;

std::string type_of(const fs::path& path) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kTypes{
      {{".html", "text/html; charset=utf-8"},
       {".js", "text/javascript; charset=utf-8"},
       {".css", "text/css; charset=utf-8"},
       {".svg", "image/svg+xml"},
       {".png", "image/png"},
       {".json", "application/json"},
       {".woff2", "font/woff2"},
       {".txt", "text/plain; charset=utf-8"},
       {".webmanifest", "application/manifest+json"}}};
  for (const auto& [suffix, type] : kTypes)
    if (path.extension() == suffix) return std::string(type);
  return "application/octet-stream";
}

}  // namespace

std::shared_ptr<const ConsoleFiles> ConsoleFiles::load(const fs::path& folder) {
  auto loaded = std::make_shared<ConsoleFiles>();
  std::error_code problem;
  if (!fs::is_regular_file(folder / kIndex.substr(1), problem))
    throw Error(Errc::not_found, "{} has no console: `./dev build` makes it", folder.string());
  uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    bytes += entry.file_size();
    if (loaded->files_.size() >= kMostFiles || bytes > kMostBytes)
      throw Error(Errc::invalid_argument, "{} is too large to be the console", folder.string());
    fs::path path = entry.path();
    const bool compressed = path.extension() == ".gz";
    if (compressed) path.replace_extension();
    std::string name = "/" + path.lexically_relative(folder).generic_string();
    ConsoleFile& file = loaded->files_[name];
    if (compressed) {
      file.gzip = read_file(entry.path());
      continue;
    }
    file.content = read_file(path);
    file.type = type_of(path);
    file.etag = fmt::format("\"{:08x}-{:x}\"", crc32c(as_bytes(file.content)), file.content.size());
    file.immutable = name.starts_with(kAssets);
  }
  // What is only there compressed has no content to show.
  std::erase_if(loaded->files_, [](const auto& entry) { return entry.second.type.empty(); });
  return loaded;
}

const ConsoleFile* ConsoleFiles::find(const std::string& path) const {
  if (auto found = files_.find(path); found != files_.end()) return &found->second;
  if (path.starts_with(kAssets)) return nullptr;
  return &files_.at(std::string(kIndex));
}

}  // namespace halogen::control::console
