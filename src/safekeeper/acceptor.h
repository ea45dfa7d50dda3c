// acceptor.h: who may append to a timeline's WAL, and where. Pure: no I/O, no threads.
//
// The rule that keeps two computes from both committing: a term, once begun, ends every lower one
// for good, and WAL is taken only from the compute of the current term and only where the log ends.
#pragma once
#include <cstdint>

#include "base/lsn.h"

namespace halogen::safekeeper {

enum class Verdict {
  accept,
  fenced,     // Of a term that is over.
  not_begun,  // Of a term that nobody has begun.
  gap,        // It does not begin where the log ends.
};

class Acceptor {
 public:
  // `term` is the highest ever begun here, 0 if none was: as read back from disk.
  explicit Acceptor(uint64_t term) : term_(term) {}

  uint64_t term() const { return term_; }

  // Whether begin(term) is allowed: only a term higher than all before.
  bool may_begin(uint64_t term) const { return term > term_; }
  // From now on no lower term is accepted; CHECKs may_begin. The caller makes it durable before it
  // tells anybody.
  void begin(uint64_t term);

  // May the compute of `term` stream at all?
  Verdict may_pull(uint64_t term) const;
  // May it append WAL that begins at `at` to a log that ends at `log_end`?
  Verdict may_append(uint64_t term, Lsn at, Lsn log_end) const;

 private:
  uint64_t term_;
};

}  // namespace halogen::safekeeper
