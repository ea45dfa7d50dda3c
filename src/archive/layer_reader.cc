#include "archive/layer_reader.h"

#include <fcntl.h>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::archive {
namespace {

constexpr uint64_t kPart = 8 << 20;

}  // namespace

void read_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                const ArchivedLayer& layer, const std::function<void(Bytes)>& take) {
  const std::string key = key_of(timeline, LayerKey{id, layer.generation});
  uint32_t crc = 0;
  for (uint64_t at = 0; at < layer.bytes; at += kPart) {
    const std::string part = store.get(key, {at, std::min(kPart, layer.bytes - at)});
    if (part.size() != std::min(kPart, layer.bytes - at))
      throw Error(Errc::corrupt, "{} in {} ends at {}, before {}", key, store.name(),
                  at + part.size(), layer.bytes);
    crc = at == 0 ? crc32c(as_bytes(part)) : crc32c_extend(crc, as_bytes(part));
    take(as_bytes(part));
  }
  if (crc != layer.crc)
    throw Error(Errc::corrupt, "{} in {} is damaged: its checksum does not match", key,
                store.name());
}

void write_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                 const ArchivedLayer& layer, const fs::path& file,
                 const std::function<void()>& pause) {
  UniqueFd fd = open_file(file, O_WRONLY | O_CREAT | O_TRUNC);
  pause();
  read_layer(store, timeline, id, layer, [&](Bytes part) {
    write_all(fd.get(), part);
    pause();
  });
  fsync_or_die(fd.get(), file.string());
}

void fetch_layer(objectstore::ObjectStore& store, TimelineId timeline, uint64_t id,
                 const ArchivedLayer& layer, const fs::path& file) {
  fs::path temporary = file;
  temporary += ".tmp";
  write_layer(store, timeline, id, layer, temporary, [] {});
  fs::rename(temporary, file);
  fsync_folder(file.parent_path());
}

}  // namespace halogen::archive
