#include "safekeeper/acceptor.h"

#include "base/error.h"

namespace halogen::safekeeper {

void Acceptor::begin(uint64_t term) {
  CHECK(may_begin(term), "term {} begun after {}", term, term_);
  term_ = term;
}

Verdict Acceptor::may_pull(uint64_t term) const {
  if (term < term_ || term == 0) return Verdict::fenced;
  return term == term_ ? Verdict::accept : Verdict::not_begun;
}

Verdict Acceptor::may_append(uint64_t term, Lsn at, Lsn log_end) const {
  if (Verdict verdict = may_pull(term); verdict != Verdict::accept) return verdict;
  return at == log_end ? Verdict::accept : Verdict::gap;
}

}  // namespace halogen::safekeeper
