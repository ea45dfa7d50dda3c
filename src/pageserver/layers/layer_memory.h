// layer_memory.h: what the memory layers of all timelines may take together.
//
// Open layers take half of it at most: beyond that the largest is frozen, whichever timeline's it
// is, so that the files stay as large as they can. While all layers together take more than there
// is, a timeline with more than its share waits for its own to be written; the others go on.
//
// Threads: any.
#pragma once
#include <atomic>
#include <cstdint>
#include <set>

#include "base/mutex.h"

namespace halogen::pageserver {

class LayerMemory {
 public:
  // One timeline's layers. It may be called under the lock of LayerMemory.
  class Holder {
   public:
    virtual ~Holder() = default;
    virtual uint64_t open_bytes() const = 0;
    // Has the open layer frozen, at once or at the end of its record.
    virtual void freeze_open_layer() = 0;
  };

  explicit LayerMemory(uint64_t limit) : limit_(limit) {}

  void join(Holder& holder);
  // Afterwards it is not called any more.
  void leave(Holder& holder) EXCLUDES(mutex_);

  // A holder's open layer has grown, or is another one.
  void open_changed(uint64_t before, uint64_t after);
  void add_frozen(int64_t bytes) { frozen_ += bytes; }
  int64_t bytes() const { return open_ + frozen_; }
  bool is_short() const { return bytes() > limit_; }

  // To be called by a holder that is about to put something, without a lock of its own.
  void keep_limit() EXCLUDES(mutex_);
  // Whether a holder of so many bytes has to wait for its own to be written. Takes no lock.
  bool must_wait(uint64_t held) const;

 private:
  const int64_t limit_;
  std::atomic<int64_t> open_ = 0;
  std::atomic<int64_t> frozen_ = 0;
  std::atomic<int64_t> busy_ = 0;  // Holders with something in their open layer; most are at rest.
  Mutex mutex_;
  std::set<Holder*> holders_ GUARDED_BY(mutex_);
};

}  // namespace halogen::pageserver
