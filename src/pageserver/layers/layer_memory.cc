#include "pageserver/layers/layer_memory.h"

#include <algorithm>

namespace halogen::pageserver {

void LayerMemory::join(Holder& holder) {
  MutexLock lock(mutex_);
  holders_.insert(&holder);
}

void LayerMemory::leave(Holder& holder) {
  MutexLock lock(mutex_);
  holders_.erase(&holder);
}

void LayerMemory::keep_limit() {
  if (open_ <= limit_ / 2) return;
  MutexLock lock(mutex_);
  if (open_ <= limit_ / 2) return;  // Somebody was faster.
  auto largest = std::max_element(holders_.begin(), holders_.end(), [](Holder* a, Holder* b) {
    return a->open_bytes() < b->open_bytes();
  });
  if (largest != holders_.end()) (*largest)->freeze_open_layer();
}

void LayerMemory::open_changed(uint64_t before, uint64_t after) {
  open_ += static_cast<int64_t>(after - before);
  busy_ += static_cast<int64_t>(after > 0) - static_cast<int64_t>(before > 0);
}

bool LayerMemory::must_wait(uint64_t held) const {
  return is_short() && static_cast<int64_t>(held) > limit_ / std::max<int64_t>(busy_, 1);
}

}  // namespace halogen::pageserver
