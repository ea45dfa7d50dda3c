// store.h: one timeline's versions of all its keys: open and frozen memory layers, layer files, and
// below the branch point the ancestor's.
//
// Threads: one thread writes (put, advance); anyone may read. No lock is held across I/O.
#pragma once
#include <functional>
#include <memory>

#include "base/lsn.h"
#include "pageserver/layers/value.h"

namespace halogen::pageserver {

class Store {
 public:
  virtual ~Store() = default;

  // All versions made by the record that ends at `lsn`; not below any LSN put before.
  virtual void put(Lsn lsn, std::span<const Put> puts) = 0;
  // Everything up to `lsn` has been put: reads at it may go on.
  virtual void advance(Lsn lsn) = 0;
  virtual Lsn last_record_lsn() const = 0;

  // The versions of `key` visible at `lsn`, from the newest base on, oldest first.
  virtual Chain collect(const Key& key, Lsn lsn) const = 0;
  // Calls `visit` in key order for each key in [first, last] whose newest version at `lsn` is not a
  // tombstone. Meant for metadata keys, whose versions are all bases.
  virtual void scan(const Key& first, const Key& last, Lsn lsn,
                    const std::function<void(const Key&, const Value&)>& visit) const = 0;
};

}  // namespace halogen::pageserver
