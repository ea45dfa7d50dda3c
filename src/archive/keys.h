// keys.h: the names of the archive's objects. Pure.
//
//   generations/<generation>                                    who writes (lease.h)
//   catalog/<generation>                                        the newest copy of the catalog
//   secrets/<generation>                                        sealed (secrets.h)
//   timelines/<timeline>/manifest-<generation>                  what its layers are (formats.h)
//   timelines/<timeline>/layers/<id>-<generation>               a layer file
//   timelines/<timeline>/wal/<generation>-<sequence>-<term>-<from>-<to>   a piece of WAL
//
// All numbers are hexadecimal with a fixed width, so that keys are in the order of the numbers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/ids.h"
#include "base/lsn.h"

namespace halogen::archive {

using Generation = uint32_t;

struct LayerKey {
  uint64_t id = 0;
  Generation generation = 0;
  auto operator<=>(const LayerKey&) const = default;
};

// In the order in which they were put: the later says what is true.
struct PieceKey {
  Generation generation = 0;
  uint64_t sequence = 0;
  uint64_t term = 0;
  Lsn from, to;
  auto operator<=>(const PieceKey&) const = default;
};

struct ManifestKey {
  Generation generation = 0;
};

std::string generation_key(Generation generation);
std::string catalog_key(Generation generation);
std::string secrets_key(Generation generation);
std::string key_of(TimelineId timeline, const ManifestKey& key);
std::string key_of(TimelineId timeline, const LayerKey& key);
std::string key_of(TimelineId timeline, const PieceKey& key);

constexpr std::string_view kGenerations = "generations/";
constexpr std::string_view kCatalogs = "catalog/";
constexpr std::string_view kSecrets = "secrets/";
constexpr std::string_view kTimelines = "timelines/";

// nullopt: it is none of ours.
std::optional<Generation> parse_generation(std::string_view key, std::string_view folder);
struct TimelineKey {
  TimelineId timeline;
  std::variant<ManifestKey, LayerKey, PieceKey> what;
};
std::optional<TimelineKey> parse_timeline_key(std::string_view key);

}  // namespace halogen::archive
