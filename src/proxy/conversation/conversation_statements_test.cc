// Prepared statements of clients that share servers.
#include <gmock/gmock.h>

#include "proxy/testing/conversation_world.h"

namespace halogen::proxy::testing {
namespace {

using ::testing::EndsWith;
using ConversationStatements = ConversationTest;

TEST_F(ConversationStatements, NamesOfClientsDoNotClash) {
  EXPECT_EQ(ann.on(one, Say().parse("s", "SELECT a").sync()), "1 Z(I)");
  EXPECT_EQ(bob.on(one, Say().parse("s", "SELECT b").sync()), "1 Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(bob.on(one, Say().run("s").sync()), "2 D(b) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, ANameIsUnknownToOthers) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(bob.on(one, Say().run("s").sync()), "E(26000) Z(I)");
  EXPECT_EQ(bob.on(one, Say().describe("s").sync()), "E(26000) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("EXECUTE s")), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, OfOneTextThereIsOneOnAServer) {
  ann.on(one, Say().parse("a", "SELECT x").sync());
  bob.on(one, Say().parse("b", "SELECT x").sync());
  ann.on(one, Say().parse("c", "SELECT x").sync());
  EXPECT_EQ(ann.on(one, Say().run("a").run("c").sync()),
            "2 D(x) C(SELECT 1) 2 D(x) C(SELECT 1) Z(I)");
  ann.on(one, Say().parse("d", "SELECT y").sync());  // Those that are alike are closed ahead of it.
  EXPECT_EQ(one.postgres.session.prepared().size(), 2u);
}

TEST_F(ConversationStatements, IsPreparedAgainOnAnotherServerUnseen) {
  ann.on(one, Say().parse("s", "SELECT $1").sync());
  EXPECT_EQ(ann.on(two, Say().run("s", {"v"}).sync()), "2 D(v) C(SELECT 1) Z(I)");
  size_t parses = two.times("P");
  EXPECT_EQ(ann.on(two, Say().run("s", {"w"}).sync()), "2 D(w) C(SELECT 1) Z(I)");
  EXPECT_EQ(two.times("P"), parses);
}

TEST_F(ConversationStatements, DescribeOnAnotherServerTellsWhatTheClientAskedForOnce) {
  ann.on(one, Say().parse("s", "SELECT $1").sync());
  EXPECT_EQ(ann.on(two, Say().describe("s").sync()), "t T(1) Z(I)");
}

TEST_F(ConversationStatements, APipelineGoesOnBehindWhatIsPreparedAgain) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(ann.on(two, Say().query("BEGIN").once("SELECT x").run("s").sync().query("COMMIT")),
            "C(BEGIN) Z(T) 1 2 D(x) C(SELECT 1) 2 D(a) C(SELECT 1) Z(T) C(COMMIT) Z(I)");
}

TEST_F(ConversationStatements, WhoParsedBeforeTheTableChangedIsToldSo) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns["t"] = 2;
  EXPECT_EQ(bob.on(one, Say().parse("s", "TABLE t").sync()), "1 Z(I)");
  for (Server* server : {&one, &two}) {
    EXPECT_EQ(ann.on(*server, Say().run("s").sync()), "E(0A000) Z(I)");
    EXPECT_EQ(ann.on(*server, Say().describe("s").sync()), "E(0A000) Z(I)");
    EXPECT_EQ(bob.on(*server, Say().run("s").sync()), "2 D(t,t) C(SELECT 1) Z(I)");
  }
}

TEST_F(ConversationStatements, WhoParsedAfterTheTableChangedIsHelpedWhereTheOldOneIs) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns["t"] = 2;
  bob.on(two, Say().parse("s", "TABLE t").sync());
  EXPECT_EQ(bob.on(one, Say().run("s").sync()), "2 D(t,t) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(0A000) Z(I)");
}

TEST_F(ConversationStatements, ACloseThatIsSkippedKeepsWhatTheStatementLooksLike) {
  EXPECT_EQ(ann.on(one, Say().parse("s", "TABLE t").run("none").close("s").sync()),
            "1 E(26000) Z(I)");
  cluster.columns["t"] = 2;
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "E(0A000) Z(I)");
}

TEST_F(ConversationStatements, AChangedOneFailsItsTransactionAndSkipsToSync) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns["t"] = 2;
  EXPECT_EQ(ann.on(two, Say().query("BEGIN").run("s").once("SELECT x").sync()),
            "C(BEGIN) Z(T) E(0A000) Z(E)");
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "E(25P02) Z(E)");
  EXPECT_EQ(ann.on(two, Say().query("ROLLBACK")), "C(ROLLBACK) Z(I)");
}

TEST_F(ConversationStatements, OneThatCannotBePreparedAgainFailsWithTheServersError) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns.erase("t");
  EXPECT_EQ(ann.on(two, Say().run("s").once("SELECT x").sync()), "E(42P01) Z(I)");
  cluster.columns["t"] = 1;
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "2 D(t) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, AFailureToPrepareDoesNotOutliveItsRequest) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns.erase("t");
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "E(42P01) Z(I)");
  cluster.columns["t"] = 1;
  EXPECT_EQ(ann.on(two, Say().query("EXECUTE s")), "T(1) D(t) C(SELECT 1) Z(I)");
}

// ---- The unnamed statement ----

TEST_F(ConversationStatements, UnnamedIsParsedAgainAfterAnotherClients) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  bob.on(one, Say().parse("", "SELECT b").sync());
  EXPECT_EQ(ann.on(one, Say().run("").sync()), "2 D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(bob.on(two, Say().describe("").run("").sync()), "t T(1) 2 D(b) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, UnnamedOfAnotherClientIsNeverRun) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  EXPECT_EQ(bob.on(one, Say().run("").sync()), "E(26000) Z(I)");
  ann.on(one, Say().parse("", "SELECT a").sync());
  EXPECT_EQ(bob.on(one, Say().describe("").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, ASimpleQueryEndsTheUnnamed) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().query("SELECT x")), "T(1) D(x) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(two, Say().run("").sync()), "E(26000) Z(I)");
  ann.on(two, Say().parse("", "SELECT a").sync());
  EXPECT_EQ(bob.on(two, Say().query("SELECT x")), "T(1) D(x) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(two, Say().run("").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, UnnamedThatIsClosedIsGoneEverywhere) {
  ann.on(one, Say().parse("", "SELECT a").close("").sync());
  EXPECT_EQ(ann.on(two, Say().run("").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, AParseThatFailsEndsTheUnnamed) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().parse("", "BAD").sync()), "E(42601) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, WhatIsSkippedLeavesTheUnnamed) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  Say say;
  say.run("none").parse("", "SELECT b").parse("", "SELECT c").close("").query("SELECT d").sync();
  EXPECT_EQ(ann.on(one, say), "E(26000) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

// Whether the Parse was skipped is not known yet when the Bind is sent.
TEST_F(ConversationStatements, BehindASyncItIsWhatTheServerMadeOfIt) {
  bob.on(one, Say().query("SET work_mem 5"));
  bob.on(two, Say().parse("", "SELECT b").sync());
  for (Server* server : {&one, &two}) {
    ann.on(*server, Say().parse("", "SELECT a").sync());
    bob.on(*server, Say().parse("", "SELECT b").sync());
    Say say;
    say.run("none").parse("", "SELECT c").parse("s", "SELECT d").sync().run("").sync();
    EXPECT_EQ(ann.on(*server, say.run("s").sync()),
              "E(26000) Z(I) 2 D(a) C(SELECT 1) Z(I) E(26000) Z(I)");
  }
}

TEST_F(ConversationStatements, WhatIsParsedAgainMayBeSkippedToo) {
  ann.on(one, Say().parse("", "SELECT a").sync());
  bob.on(two, Say().parse("", "SELECT b").sync());
  EXPECT_EQ(ann.on(two, Say().run("none").run("").sync().run("").sync()),
            "E(26000) Z(I) 2 D(a) C(SELECT 1) Z(I)");
}

// ---- Errors ----

TEST_F(ConversationStatements, ANameThatIsTakenIsRefused) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().parse("s", "SELECT b").run("s").sync()), "E(42P05) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, InAFailedTransactionItIsRefusedForThat) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().query("BEGIN").query("FAIL").parse("s", "SELECT b").sync()),
            "C(BEGIN) Z(T) E(22012) Z(E) E(25P02) Z(E)");
}

TEST_F(ConversationStatements, AParseThatFailsLeavesNoName) {
  EXPECT_EQ(ann.on(one, Say().parse("s", "BAD").run("s").sync()), "E(42601) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
  EXPECT_EQ(ann.on(one, Say().parse("s", "SELECT a").run("s").sync()), "1 2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, ErrorsUndoWhatWasSkipped) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  Say say;
  say.run("none").close("s").parse("s", "SELECT b").parse("new", "SELECT c").sync();
  EXPECT_EQ(ann.on(one, say), "E(26000) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(two, Say().run("new").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, SkippedUntilASyncThatComesLater) {
  EXPECT_EQ(ann.on(one, Say().run("none").flush()), "E(26000)");
  EXPECT_FALSE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().parse("s", "SELECT a").query("SELECT x")), "");
  EXPECT_EQ(ann.on(one, Say().sync()), "Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, TheLeastUsedIsClosedWhereThereAreTooMany) {
  for (size_t i = 0; i <= ServerStatements::kMost; i++)
    ASSERT_EQ(
        ann.on(one, Say().parse("s" + std::to_string(i), "SELECT " + std::to_string(i)).sync()),
        "1 Z(I)");
  EXPECT_EQ(one.postgres.session.prepared().size(), ServerStatements::kMost);
  EXPECT_EQ(ann.on(one, Say().run("s0").run("s2").sync()),
            "2 D(0) C(SELECT 1) 2 D(2) C(SELECT 1) Z(I)");
  EXPECT_EQ(one.postgres.session.prepared().size(), ServerStatements::kMost);
}

// ---- By SQL ----

TEST_F(ConversationStatements, SqlKnowsThemByTheClientsNames) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  for (Server* server : {&one, &two}) {
    EXPECT_EQ(ann.on(*server, Say().query("EXECUTE s")), "T(1) D(a) C(SELECT 1) Z(I)");
    EXPECT_EQ(ann.on(*server, Say().once("EXECUTE s").sync()), "1 2 D(a) C(SELECT 1) Z(I)");
  }
}

TEST_F(ConversationStatements, ExecuteOfAChangedOneFails) {
  ann.on(one, Say().parse("s", "TABLE t").sync());
  cluster.columns["t"] = 2;
  for (Server* server : {&one, &two}) {
    EXPECT_EQ(ann.on(*server, Say().query("EXECUTE s")), "E(0A000) Z(I)");
    EXPECT_THAT(ann.on(*server, Say().once("EXECUTE s").sync()), EndsWith("E(0A000) Z(I)"));
  }
}

TEST_F(ConversationStatements, DeallocateForgetsOne) {
  for (Server* server : {&one, &two}) {
    ann.on(one, Say().parse("s", "SELECT a").parse("other", "SELECT b").sync());
    bob.on(one, Say().parse("s", "SELECT a").sync());
    EXPECT_EQ(ann.on(*server, Say().query("DEALLOCATE s")), "C(DEALLOCATE) Z(I)");
    EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
    EXPECT_EQ(bob.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
    EXPECT_EQ(ann.on(*server, Say().once("DEALLOCATE other").parse("other", "SELECT c").sync()),
              "1 2 C(DEALLOCATE) 1 Z(I)");
    EXPECT_EQ(ann.on(one, Say().run("other").close("other").sync()), "2 D(c) C(SELECT 1) 3 Z(I)");
    EXPECT_EQ(bob.on(one, Say().close("s").sync()), "3 Z(I)");
  }
}

TEST_F(ConversationStatements, ADeallocateThatIsSkippedForgetsNothing) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().run("none").once("DEALLOCATE s").sync()), "E(26000) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("BEGIN").query("FAIL").query("DEALLOCATE s")),
            "C(BEGIN) Z(T) E(22012) Z(E) E(25P02) Z(E)");
  EXPECT_EQ(ann.on(one, Say().query("ROLLBACK").run("s").sync()),
            "C(ROLLBACK) Z(I) 2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, WhatTakesTheLastOneAwayMayYetBeSkipped) {
  for (bool simple : {true, false}) {
    ann.on(one, Say().parse("s", "SELECT a").sync());
    Say skipped = Say().run("none").close("s").sync();
    Say say = simple ? skipped.query("DEALLOCATE s") : skipped.once("DEALLOCATE s").sync();
    EXPECT_EQ(ann.on(one, say),
              simple ? "E(26000) Z(I) C(DEALLOCATE) Z(I)" : "E(26000) Z(I) 1 2 C(DEALLOCATE) Z(I)");
    EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
  }
}

TEST_F(ConversationStatements, DeallocateBehindTheParseInOneRequest) {
  EXPECT_EQ(ann.on(one, Say().parse("s", "SELECT a").once("DEALLOCATE s").sync()),
            "1 1 2 C(DEALLOCATE) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
  Say skipped = Say().run("none").parse("s", "SELECT a").once("DEALLOCATE s").sync();
  EXPECT_EQ(ann.on(one, skipped.parse("s", "SELECT b").run("s").sync()),
            "E(26000) Z(I) 1 2 D(b) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, DeallocateAllAndDiscardAllForgetAll) {
  for (const char* sql : {"DEALLOCATE ALL", "DISCARD ALL"}) {
    ann.on(one, Say().parse("s", "SELECT a").sync());
    bob.on(one, Say().parse("s", "SELECT a").sync());
    ann.on(one, Say().query(sql));
    EXPECT_EQ(ann.on(one, Say().run("s").sync()), "E(26000) Z(I)");
    EXPECT_EQ(ann.on(two, Say().run("s").sync()), "E(26000) Z(I)");
    EXPECT_EQ(bob.on(one, Say().run("s").close("s").sync()), "2 D(a) C(SELECT 1) 3 Z(I)");
  }
}

TEST_F(ConversationStatements, WhatIsParsedBehindDeallocateAllStays) {
  ann.on(one, Say().parse("old", "SELECT a").sync());
  EXPECT_EQ(ann.on(one, Say().query("DEALLOCATE ALL").parse("s", "SELECT b").sync()),
            "C(DEALLOCATE ALL) Z(I) 1 Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(b) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "2 D(b) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("old").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, MadeBySqlGoWithTheSession) {
  EXPECT_EQ(ann.on(one, Say().query("PREPARE p AS SELECT a")), "C(PREPARE) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("EXECUTE p")), "E(26000) Z(I)");
  for (Server* server : {&two, &one}) {
    EXPECT_EQ(ann.on(*server, Say().query("EXECUTE p")), "T(1) D(a) C(SELECT 1) Z(I)");
    EXPECT_EQ(ann.on(*server, Say().run("p").sync()), "2 D(a) C(SELECT 1) Z(I)");
  }
  EXPECT_EQ(ann.on(two, Say().query("DEALLOCATE p")), "C(DEALLOCATE) Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("EXECUTE p")), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, SqlFindsThemAmongOthersAndInComments) {
  ann.on(one, Say().parse("s", "SELECT a").parse("other", "SELECT b").sync());
  EXPECT_EQ(ann.on(two, Say().query("SELECT x; EXECUTE s; DEALLOCATE other")),
            "T(1) D(x) C(SELECT 1) T(1) D(a) C(SELECT 1) C(DEALLOCATE) Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("other").sync()), "E(26000) Z(I)");
  EXPECT_EQ(bob.on(two, Say().query("EXECUTE s")), "E(26000) Z(I)");
}

TEST_F(ConversationStatements, ExecutePreparedByProtocolFindsThemOnEveryServer) {
  ann.on(one, Say().parse("s", "SELECT a").parse("e", "EXECUTE s").sync());
  EXPECT_EQ(ann.on(two, Say().run("e").sync()), "2 D(a) C(SELECT 1) Z(I)");
  bob.on(two, Say().parse("s", "SELECT b").parse("e", "EXECUTE s").sync());
  for (Server* server : {&one, &two}) {
    EXPECT_EQ(ann.on(*server, Say().run("e").sync()), "2 D(a) C(SELECT 1) Z(I)");
    EXPECT_EQ(bob.on(*server, Say().run("e").sync()), "2 D(b) C(SELECT 1) Z(I)");
  }
}

TEST_F(ConversationStatements, ANameIsTakenWhicheverWayItWasMade) {
  ann.on(one, Say().parse("s", "SELECT a").query("PREPARE p AS SELECT b"));
  EXPECT_EQ(ann.on(two, Say().query("PREPARE s AS SELECT b")), "E(42P05) Z(I)");
  EXPECT_EQ(ann.on(two, Say().parse("p", "SELECT a").sync()), "E(42P05) Z(I)");
  EXPECT_EQ(ann.on(one, Say().close("p").sync()), "3 Z(I)");
  EXPECT_EQ(ann.on(two, Say().query("EXECUTE p")), "E(26000) Z(I)");
}

// Wherever it stands in a large query, which is held up to there only for who has names.
TEST_F(ConversationStatements, ANameIsFoundFarBackInAQuery) {
  Say query = Say().query("SELECT " + std::string(200'000, 'x') + "; EXECUTE s");
  std::string_view half = std::string_view(query.bytes).substr(0, 100'000);
  EXPECT_TRUE(ann.talk.worth_a_server(half));
  EXPECT_EQ(ann.talk.size_to_hold(half), 0u);
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_FALSE(ann.talk.worth_a_server(half));
  EXPECT_EQ(ann.talk.size_to_hold(half), query.bytes.size());
  EXPECT_THAT(ann.on(two, query), ::testing::EndsWith("D(a) C(SELECT 1) Z(I)"));
  ann.attach(two);  // Without room it is not held.
  EXPECT_TRUE(ann.talk.pass_unseen(half));
  EXPECT_EQ(ann.talk.size_to_hold(half), 0u);
  ann.hears(half);
  EXPECT_EQ(ann.heard, "");
  ann.hears(query.bytes.substr(half.size()));
  ann.settle();
  EXPECT_FALSE(ann.talk.pass_unseen(Say().parse("t", "SELECT a").bytes));
}

// ---- What a text means was settled at its Parse ----

TEST_F(ConversationStatements, AreReadByTheSettingsOfTheirOwnSession) {
  ann.on(one, Say().query("SET TimeZone a"));
  bob.on(one, Say().query("SET TimeZone b"));
  ann.on(one, Say().parse("s", "LITERAL").sync());
  bob.on(one, Say().parse("s", "LITERAL").sync());
  for (Server* server : {&one, &two}) {
    EXPECT_EQ(ann.on(*server, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
    EXPECT_EQ(bob.on(*server, Say().run("s").sync()), "2 D(b) C(SELECT 1) Z(I)");
  }
}

TEST_F(ConversationStatements, WhatIsSetLaterDoesNotChangeThem) {
  ann.on(one, Say().query("SET TimeZone a").parse("s", "LITERAL").sync());
  ann.on(one, Say().parse("", "LITERAL").sync());
  ann.on(one, Say().query("PREPARE p AS LITERAL").parse("", "LITERAL").describe("").sync());
  ann.on(one, Say().once("SET TimeZone later").sync());
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(two, Say().query("EXECUTE p")), "T(1) D(a) C(SELECT 1) Z(I)");
  EXPECT_EQ(
      ann.on(two, Say().query("BEGIN").run("s").sync().query("SHOW TimeZone").query("COMMIT")),
      "C(BEGIN) Z(T) 2 D(a) C(SELECT 1) Z(T) T(1) D(later) C(SELECT 1) Z(T) C(COMMIT) Z(I)");
}

// Amid a pipeline, too, where nothing tells yet what was set.
TEST_F(ConversationStatements, NorWhatTheSamePipelineHasSet) {
  ann.on(one, Say().query("SET TimeZone a").parse("s", "LITERAL").sync());
  ann.attach(two);
  EXPECT_EQ(ann.says(Say().once("SET TimeZone later").flush()), "1 2 C(SET)");
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "2 D(a) C(SELECT 1) S(TimeZone=later) Z(I)");
}

TEST_F(ConversationStatements, NorWhatATransactionSetsAndTakesBack) {
  ann.on(one, Say().query("BEGIN").query("SET TimeZone a").parse("s", "LITERAL").sync());
  ann.on(one, Say().query("ROLLBACK"));
  for (Server* server : {&two, &one})
    EXPECT_EQ(ann.on(*server, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
  ann.on(one, Say().query("SET TimeZone b").parse("t", "LITERAL").sync());
  ann.on(two, Say().query("BEGIN").query("SET TimeZone c"));
  EXPECT_EQ(ann.on(two, Say().run("t").sync().query("COMMIT")),
            "2 D(b) C(SELECT 1) Z(T) C(COMMIT) Z(I)");
}

// Its server may have told last of the very same changes, of a transaction that has ended.
TEST_F(ConversationStatements, NorWhatAnotherTransactionHasTakenBack) {
  for (bool pooled : {true, false}) {
    Client client(texts, {}, pooled);
    Server first(cluster), second(cluster);
    for (Server* server : {&second, &first}) {
      const char* name = server == &first ? "s" : "other";
      if (client.server()) client.loses_server();
      client.attach(*server);
      client.says(Say().query("BEGIN").query("SET TimeZone a").parse(name, "LITERAL").sync());
      client.says(Say().query("ROLLBACK"));
    }
    client.loses_server();
    EXPECT_EQ(client.on(second, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)") << pooled;
  }
}

// A cancel request may come between its Parse and our own look at it.
TEST_F(ConversationStatements, ReadByTheirOwnSettingsAlsoIfNobodyHasLookedAtThem) {
  ann.attach(one);
  ann.hears(Say().once("SET TimeZone a").parse("s", "LITERAL").sync().bytes);
  size_t look = one.to_it.find(Say().describe("halogen.1").bytes);
  ASSERT_NE(look, std::string::npos);
  one.postgres.take(one.to_it.substr(0, look), one.from_it);
  one.postgres.interrupt({"57014", "a cancel request"});
  one.to_it.erase(0, look);
  ann.settle();
  EXPECT_EQ(ann.words(), "1 2 C(SET) 1 E(57014) Z(I)");
  ann.detach();
  for (Server* server : {&two, &one})
    EXPECT_EQ(ann.on(*server, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, AnUnnamedThatIsParsedAgainMustLookAsItWasDescribed) {
  ann.on(one, Say().parse("", "TABLE t").describe("").sync());
  EXPECT_EQ(ann.on(two, Say().run("").sync()), "2 D(t) C(SELECT 1) Z(I)");
  cluster.columns["t"] = 2;
  EXPECT_EQ(ann.on(one, Say().run("").sync()), "E(0A000) Z(I)");
}

TEST_F(ConversationStatements, NamesOfOursAreNobodysToUse) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  EXPECT_EQ(bob.on(one, Say().run("halogen.1").sync()), "E(26000) Z(I)");
  EXPECT_EQ(bob.on(one, Say().describe("halogen.1").sync()), "E(26000) Z(I)");
  EXPECT_EQ(bob.on(one, Say().close("halogen.1").sync()), "3 Z(I)");
  EXPECT_EQ(ann.on(one, Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationStatements, NamesOfOursTellNothing) {
  ann.on(one, Say().parse("s", "SELECT a").sync());
  bob.on(two, Say().parse("s", "SELECT b").sync());
  EXPECT_EQ(one.postgres.session.prepared().begin()->first,
            two.postgres.session.prepared().begin()->first);
}

}  // namespace
}  // namespace halogen::proxy::testing
