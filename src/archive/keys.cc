#include "archive/keys.h"

#include <charconv>
#include <vector>

#include "base/error.h"

namespace halogen::archive {
namespace {

constexpr std::string_view kManifest = "manifest-";
constexpr std::string_view kLayers = "layers/";
constexpr std::string_view kWal = "wal/";
constexpr size_t kIdLength = 32;

// Takes `prefix` off the front.
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes a number of exactly so many digits off the front.
template <typename T>
bool take(std::string_view& text, size_t digits, T& out) {
  if (text.size() < digits ||
      text.substr(0, digits).find_first_not_of("0123456789abcdef") != text.npos)
    return false;
  std::from_chars(text.data(), text.data() + digits, out, 16);
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, Lsn& out) { return take(text, 16, out.value); }

std::string folder_of(TimelineId timeline) {
  return fmt::format("{}{}/", kTimelines, timeline.str());
}

}  // namespace

std::string generation_key(Generation generation) {
  return fmt::format("{}{:08x}", kGenerations, generation);
}
std::string catalog_key(Generation generation) {
  return fmt::format("{}{:08x}", kCatalogs, generation);
}
std::string secrets_key(Generation generation) {
  return fmt::format("{}{:08x}", kSecrets, generation);
}
std::string key_of(TimelineId timeline, const ManifestKey& key) {
  return fmt::format("{}{}{:08x}", folder_of(timeline), kManifest, key.generation);
}
std::string key_of(TimelineId timeline, const LayerKey& key) {
  return fmt::format("{}{}{:016x}-{:08x}", folder_of(timeline), kLayers, key.id, key.generation);
}
std::string key_of(TimelineId timeline, const PieceKey& key) {
  return fmt::format("{}{}{:08x}-{:016x}-{:016x}-{:016x}-{:016x}", folder_of(timeline), kWal,
                     key.generation, key.sequence, key.term, key.from.value, key.to.value);
}

std::optional<Generation> parse_generation(std::string_view key, std::string_view folder) {
  Generation generation = 0;
  if (!take(key, folder) || !take(key, 8, generation) || !key.empty()) return std::nullopt;
  return generation;
}

std::optional<TimelineKey> parse_timeline_key(std::string_view key) {
  TimelineKey out;
  if (!take(key, kTimelines) || key.size() < kIdLength) return std::nullopt;
  try {
    out.timeline = TimelineId::parse(key.substr(0, kIdLength));
  } catch (const Error&) {
    return std::nullopt;
  }
  key.remove_prefix(kIdLength);
  if (!take(key, "/")) return std::nullopt;
  bool good = false;
  if (take(key, kManifest)) {
    ManifestKey manifest;
    good = take(key, 8, manifest.generation);
    out.what = manifest;
  } else if (take(key, kLayers)) {
    LayerKey layer;
    good = take(key, 16, layer.id) && take(key, "-") && take(key, 8, layer.generation);
    out.what = layer;
  } else if (take(key, kWal)) {
    PieceKey piece;
    good = take(key, 8, piece.generation) && take(key, "-") && take(key, 16, piece.sequence) &&
           take(key, "-") && take(key, 16, piece.term) && take(key, "-") && take(key, piece.from) &&
           take(key, "-") && take(key, piece.to) && piece.from <= piece.to;
    out.what = piece;
  }
  if (!good || !key.empty()) return std::nullopt;
  return out;
}

}  // namespace halogen::archive
