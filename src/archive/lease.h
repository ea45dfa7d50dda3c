// lease.h: which home writes to a store. Each start of a platform takes a generation, a number that
// nobody had before; all it puts is named by it, and readers take the highest. So a writer that was
// left behind overwrites nothing, and it removes nothing, because it looks before.
//
// Threads: any.
#pragma once
#include <string>

#include "archive/keys.h"
#include "base/mutex.h"
#include "objectstore/object_store.h"

namespace halogen::archive {

class Lease {
 public:
  // Takes the next generation. `home` names who writes: a random id that a home has once. Throws
  // fenced if the newest generation is another home's, unless it is taken over; unavailable, ...
  static Lease take(objectstore::ObjectStore& store, const std::string& home, bool take_over);

  Generation generation() const { return generation_; }
  // Whether what has this generation in its name was put by this home, and can be replaced by it
  // alone: all generations from then on are its own.
  bool is_ours(Generation generation) const {
    return generation >= since_ && generation <= generation_;
  }
  // Throws fenced once a higher generation has been taken.
  void check(objectstore::ObjectStore& store) const;

 private:
  Lease(Generation generation, Generation since) : generation_(generation), since_(since) {}
  const Generation generation_;
  const Generation since_;  // Since which this home writes without another one in between.
};

}  // namespace halogen::archive
