// durable_state.h: the few facts about a timeline that must survive with its WAL.
//
// A file of two slots with a sequence number and a checksum each. A write goes to the older slot
// and is durable (one fdatasync) when save() returns; a torn write leaves the other slot.
#pragma once
#include "base/file.h"
#include "base/ids.h"
#include "base/lsn.h"

namespace halogen::safekeeper {

constexpr const char* kStateName = "state";  // In the timeline's folder.

struct DurableState {
  TimelineId id;
  uint64_t system_identifier = 0;
  Lsn start;  // Where this timeline's WAL begins: a record's beginning.
  uint64_t term = 0;
  Lsn flushed;  // All below is on disk for sure; behind it, what checks out.
  Lsn oldest;   // Nothing below is kept any more.
};

class StateFile {
 public:
  struct Found {
    DurableState state;
    uint64_t sequence = 0;  // Of the slot it was in.
  };
  // The newer good slot of a file. Errc::corrupt if none is.
  static Found parse(Bytes file);

  // Writes a new file; the caller makes the folder durable.
  static void create(const fs::path& path, const DurableState& state);
  // Errc::corrupt if no slot is good. What was found is durable: a killed process may have left it
  // only in the kernel's memory.
  explicit StateFile(const fs::path& path);

  const DurableState& state() const { return state_; }
  // What a file says, while another may be writing it. Errc::corrupt if no slot is good.
  static DurableState peek(const fs::path& path);
  // One thread at a time. A failed fdatasync ends the process.
  void save(const DurableState& state);

 private:
  UniqueFd fd_;
  uint64_t sequence_ = 0;
  DurableState state_;
};

}  // namespace halogen::safekeeper
