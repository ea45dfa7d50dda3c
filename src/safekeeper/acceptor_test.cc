#include "safekeeper/acceptor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace halogen::safekeeper {
namespace {

TEST(Acceptor, OnlyAHigherTermMayBegin) {
  for (uint64_t current = 0; current < 6; ++current) {
    for (uint64_t wanted = 0; wanted < 8; ++wanted)
      EXPECT_EQ(Acceptor(current).may_begin(wanted), wanted > current) << current << wanted;
  }
  EXPECT_DEATH(Acceptor(5).begin(5), "term 5 begun after 5");
}

TEST(Acceptor, OnlyTheCurrentTermMayAppendAndOnlyAtTheEnd) {
  const Lsn ends[] = {Lsn(0), Lsn(8), Lsn(16)};
  for (uint64_t current = 0; current < 4; ++current) {
    for (uint64_t term = 0; term < 6; ++term) {
      for (Lsn at : ends) {
        for (Lsn end : ends) {
          Verdict expected = Verdict::accept;
          if (term < current || term == 0)
            expected = Verdict::fenced;
          else if (term > current)
            expected = Verdict::not_begun;
          else if (at != end)
            expected = Verdict::gap;
          EXPECT_EQ(Acceptor(current).may_append(term, at, end), expected);
        }
      }
    }
  }
}

// Every order in which four computes could begin their terms: at most one may append at any time,
// and one that has been overtaken may never append again.
TEST(Acceptor, AnOvertakenTermNeverAppendsAgainInAnyOrder) {
  std::vector<uint64_t> order = {1, 2, 3, 4};
  do {
    Acceptor acceptor(0);
    uint64_t highest = 0;
    for (uint64_t term : order) {
      EXPECT_EQ(acceptor.may_begin(term), term > highest);
      if (acceptor.may_begin(term)) acceptor.begin(term);
      highest = std::max(highest, term);
      int allowed = 0;
      for (uint64_t other = 0; other < 6; ++other) {
        bool accepted = acceptor.may_append(other, Lsn(8), Lsn(8)) == Verdict::accept;
        EXPECT_EQ(accepted, other == highest);
        allowed += accepted;
      }
      EXPECT_EQ(allowed, 1);
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Acceptor, BeforeTheFirstTermNobodyMayAppend) {
  Acceptor acceptor(0);
  EXPECT_EQ(acceptor.may_append(0, Lsn(8), Lsn(8)), Verdict::fenced);
  EXPECT_EQ(acceptor.may_append(1, Lsn(8), Lsn(8)), Verdict::not_begun);
}

}  // namespace
}  // namespace halogen::safekeeper
