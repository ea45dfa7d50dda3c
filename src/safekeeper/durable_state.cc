#include "safekeeper/durable_state.h"

#include <fcntl.h>

#include <optional>

#include "base/checksum.h"
#include "base/error.h"

namespace halogen::safekeeper {
namespace {

constexpr uint32_t kMagic = 0x484C534B;  // "KSLH" in the file.
constexpr uint32_t kVersion = 1;
constexpr size_t kSlotSize = 4096;  // A disk writes this much or nothing, mostly.

struct Slot {
  uint32_t magic;
  uint32_t version;
  uint64_t sequence;
  TimelineId id;
  uint64_t system_identifier;
  uint64_t start;
  uint64_t term;
  uint64_t flushed;
  uint64_t oldest;
  uint32_t crc;  // Of all before.
  uint32_t zero;
};
static_assert(sizeof(Slot) == 80 && std::is_trivially_copyable_v<Slot>);

uint32_t checksum(const Slot& slot) {
  return crc32c(Bytes(reinterpret_cast<const std::byte*>(&slot), offsetof(Slot, crc)));
}

std::string encode(const DurableState& state, uint64_t sequence) {
  Slot slot{.magic = kMagic,
            .version = kVersion,
            .sequence = sequence,
            .id = state.id,
            .system_identifier = state.system_identifier,
            .start = state.start.value,
            .term = state.term,
            .flushed = state.flushed.value,
            .oldest = state.oldest.value,
            .crc = 0,
            .zero = 0};
  slot.crc = checksum(slot);
  std::string out(kSlotSize, '\0');
  std::memcpy(out.data(), &slot, sizeof slot);
  return out;
}

std::optional<Slot> decode(std::string_view raw) {
  auto slot = load<Slot>(raw.data());
  if (slot.magic != kMagic || slot.crc != checksum(slot)) return std::nullopt;
  if (slot.version != kVersion)
    throw Error(Errc::corrupt, "safekeeper state of version {}; this program knows {}",
                slot.version, kVersion);
  return slot;
}

}  // namespace

void StateFile::create(const fs::path& path, const DurableState& state) {
  UniqueFd fd = open_file(path, O_RDWR | O_CREAT | O_EXCL);
  pwrite_all(fd.get(), as_bytes(encode(state, 0)), 0);
  pwrite_all(fd.get(), as_bytes(encode(state, 1)), kSlotSize);
  fsync_or_die(fd.get(), path.string());
}

StateFile::Found StateFile::parse(Bytes file) {
  std::optional<Slot> best;
  for (size_t at = 0; at + kSlotSize <= file.size() && at <= kSlotSize; at += kSlotSize) {
    std::optional<Slot> slot = decode(as_text(file.subspan(at, kSlotSize)));
    if (slot && (!best || slot->sequence > best->sequence)) best = slot;
  }
  if (!best) throw Error(Errc::corrupt, "no readable state");
  return {.state = {.id = best->id,
                    .system_identifier = best->system_identifier,
                    .start = Lsn(best->start),
                    .term = best->term,
                    .flushed = Lsn(best->flushed),
                    .oldest = Lsn(best->oldest)},
          .sequence = best->sequence};
}

StateFile::StateFile(const fs::path& path) : fd_(open_file(path, O_RDWR)) {
  try {
    Found found = parse(as_bytes(pread_exact(fd_.get(), 2 * kSlotSize, 0)));
    sequence_ = found.sequence;
    state_ = found.state;
  } catch (const Error& error) {
    throw Error(error.code(), "{}: {}", path.string(), error.what());
  }
  fdatasync_or_die(fd_.get(), path.string());
}

DurableState StateFile::peek(const fs::path& path) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  return parse(as_bytes(pread_exact(fd.get(), 2 * kSlotSize, 0))).state;
}

void StateFile::save(const DurableState& state) {
  ++sequence_;
  pwrite_all(fd_.get(), as_bytes(encode(state, sequence_)), sequence_ % 2 * kSlotSize);
  fdatasync_or_die(fd_.get(), "safekeeper state");
  state_ = state;
}

}  // namespace halogen::safekeeper
