// A server is lost: what its client is told, now or when it next asks, and what it may believe.
#include <gmock/gmock.h>

#include "proxy/testing/conversation_world.h"

namespace halogen::proxy::testing {
namespace {

constexpr char kX[] = "T(1) D(x) C(SELECT 1) Z(I)";

class ConversationLoss : public ConversationTest {
 protected:
  // The server has taken and answered all this.
  void done(const Say& say) {
    if (!ann.server()) ann.attach(one);
    ann.says(say);
  }
  // This is on its way, or being worked at.
  void asked(const Say& say) {
    if (!ann.server()) ann.attach(one);
    ann.hears(say.bytes);
  }
  std::string lost() {
    std::string words = ann.loses_server();
    EXPECT_TRUE(ann.sayable);
    return words;
  }
  // The client asks again, with a server if it takes one.
  std::string then(const Say& say) {
    ann.hears(say.bytes);
    std::string words = ann.words();
    if (!ann.server() && ann.heard.empty()) return words;
    if (!ann.server()) ann.attach(two);
    ann.take_heard();
    ann.settle();
    std::string more = ann.words();
    return words + (words.empty() || more.empty() ? "" : " ") + more;
  }
};

TEST_F(ConversationLoss, IdleNobodyNotices) {
  done(Say().parse("s", "SELECT a").query("SET work_mem 5"));
  EXPECT_EQ(lost(), "");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(then(Say().query("SHOW work_mem")), "T(1) D(5) C(SELECT 1) Z(I)");
  EXPECT_EQ(then(Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationLoss, AQueryInFlightFails) {
  asked(Say().query("SELECT x"));
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, EachOfSeveralFails) {
  Say say;
  say.query("SELECT a").once("SELECT b").sync().parse("s", "SELECT c").run("s").sync().sync();
  asked(say);
  EXPECT_EQ(lost(), "E(57P01) Z(I) E(57P01) Z(I) E(57P01) Z(I) E(57P01) Z(I)");
  EXPECT_EQ(then(Say().run("s").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationLoss, WhatWasAnsweredIsNotTakenBack) {
  done(Say().parse("s", "SELECT a").flush());
  asked(Say().run("s").sync());
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_EQ(then(Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationLoss, APipelineWithoutSyncIsSkippedUpToIt) {
  asked(Say().once("SELECT x").flush());
  EXPECT_EQ(lost(), "E(57P01)");
  EXPECT_FALSE(ann.talk.at_rest());
  EXPECT_EQ(then(Say().once("SELECT x").flush()), "");
  EXPECT_EQ(then(Say().sync()), "Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, APipelineThatWasAnsweredSoFarFailsWithItsNextMessage) {
  done(Say().once("SELECT x").flush());
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().flush()), "");
  EXPECT_EQ(then(Say().run("")), "E(57P01)");
  EXPECT_EQ(then(Say().sync()), "Z(I)");
}

TEST_F(ConversationLoss, OrWithItsSync) {
  done(Say().once("SELECT x").flush());
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().sync()), "E(57P01) Z(I)");
}

TEST_F(ConversationLoss, OrBehindItsErrorWithItsSync) {
  done(Say().run("none").flush());
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().run("none").sync()), "E(57P01) Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

// All of it would else be gone without a word.
TEST_F(ConversationLoss, WhatAnErrorHasNotTakenIsMissed) {
  for (const char* kept : {"LOCK k", "SET work_mem 5; BEGIN"}) {
    Client client(texts);
    Server server(cluster);
    client.attach(server);
    client.says(Say().query(kept).run("none").flush());
    EXPECT_EQ(client.loses_server(), "") << kept;
    client.hears(Say().sync().bytes);
    EXPECT_THAT(client.words(), ::testing::StartsWith("E(57P01) Z")) << kept;
  }
}

// ---- In a transaction ----

TEST_F(ConversationLoss, ATransactionStaysFailedUntilItIsRolledBack) {
  done(Say().query("BEGIN").query("SELECT x"));
  EXPECT_EQ(lost(), "");
  EXPECT_FALSE(ann.talk.at_rest());
  EXPECT_EQ(then(Say().query("SELECT x")), "E(57P01) Z(E)");
  EXPECT_EQ(then(Say().query("SELECT x")), "E(25P02) Z(E)");
  EXPECT_EQ(then(Say().once("SELECT x").sync()), "E(25P02) Z(E)");
  EXPECT_EQ(then(Say().query("ROLLBACK")), "C(ROLLBACK) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, ABusyOneToo) {
  done(Say().query("BEGIN"));
  asked(Say().query("SELECT x"));
  EXPECT_EQ(lost(), "E(57P01) Z(E)");
  EXPECT_EQ(then(Say().once("SELECT x").sync()), "E(25P02) Z(E)");
  EXPECT_EQ(then(Say().query("COMMIT")), "C(ROLLBACK) Z(I)");
}

TEST_F(ConversationLoss, AFailedOneIsNotTold) {
  done(Say().query("BEGIN").query("FAIL"));
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().query("ROLLBACK")), "E(57P01) Z(E)");
  EXPECT_EQ(then(Say().query("ROLLBACK")), "C(ROLLBACK) Z(I)");
}

// Nothing may run outside of it, and nothing that the server says behind that is the client's.
TEST_F(ConversationLoss, AFailedTransactionThatCannotBeMadeEndsTheServer) {
  done(Say().query("BEGIN"));
  asked(Say().query("SELECT x"));
  EXPECT_EQ(lost(), "E(57P01) Z(E)");
  two.postgres.interrupt({"57014", "a cancel request"});
  EXPECT_EQ(then(Say().query("SELECT x")), "");
  ASSERT_NE(ann.talk.fatal(), nullptr);
  EXPECT_EQ(ann.talk.fatal()->sqlstate, "57014");
  EXPECT_EQ(lost(), "E(57P01) Z(E)");
}

TEST_F(ConversationLoss, AlsoIfTheNextServerIsLostAtOnce) {
  done(Say().query("BEGIN"));
  lost();
  EXPECT_EQ(then(Say().query("SELECT x")), "E(57P01) Z(E)");
  ann.attach(two);
  ann.hears(Say().query("SELECT x").bytes);
  two.to_it.clear();
  EXPECT_EQ(lost(), "E(57P01) Z(E)");
  EXPECT_EQ(then(Say().query("SELECT x")), "E(25P02) Z(E)");
}

TEST_F(ConversationLoss, TheStateBeforeTheTransactionIsRestored) {
  done(Say().query("SET work_mem 5").query("BEGIN").query("SET work_mem 6"));
  asked(Say().query("COMMIT"));
  EXPECT_EQ(lost(), "E(57P01) Z(E)");
  EXPECT_EQ(then(Say().query("ROLLBACK")), "C(ROLLBACK) Z(I)");
  EXPECT_EQ(then(Say().query("SHOW work_mem")), "T(1) D(5) C(SELECT 1) Z(I)");
}

// ---- COPY ----

TEST_F(ConversationLoss, WhatIsLeftOfACopyIsIgnored) {
  done(Say().query("COPYIN").data("1"));
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_EQ(then(Say().data("2").copy_done()), "");
  EXPECT_TRUE(ann.heard.empty());
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, OfACopyAsLibpqDoesIt) {
  done(Say().once("COPYIN").sync().data("1"));
  EXPECT_EQ(lost(), "E(57P01)");
  EXPECT_EQ(then(Say().data("2").copy_done().sync()), "Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

// Nothing was sent that could have made it fail later: its client waits for no more than the answer
// to its Sync.
TEST_F(ConversationLoss, TheSyncOfACopyThatFailedBeforeItReadIsAnswered) {
  asked(Say().once("COPYNO").sync().sync());
  ann.server_works();
  one.from_it.resize(one.from_it.find(Say().add('Z', "I").bytes));
  ann.take_said();
  EXPECT_EQ(ann.words(), "1 2 G E(42809)");
  EXPECT_EQ(lost(), "E(57P01) Z(I) E(57P01) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

// With data on its way it may have taken the Sync for a part of them.
TEST_F(ConversationLoss, TheSyncOfACopyThatFailedLaterMayBeItsData) {
  ann.attach(one);
  EXPECT_EQ(ann.says(Say().once("COPYIN").sync().data("bad")), "1 2 G E(22P02)");
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().data("1").copy_done().sync()), "E(57P01) Z(I)");
}

// The next server owes nothing of what this one had answered.
TEST_F(ConversationLoss, WhileItIsAskedWhetherItTookASyncForData) {
  Say copy = Say().once("COPYIN").sync().data("bad").copy_done().sync();
  asked(Say().once("COPYIN").sync());
  EXPECT_EQ(ann.says(Say().data("bad")), "1 2 G E(22P02)");
  ann.hears(Say().copy_done().sync().bytes);
  EXPECT_TRUE(ann.talk.waiting());
  ann.server_works();
  ann.take_said(Say().add('Z', "I").bytes.size());
  EXPECT_EQ(ann.words(), "") << "kept, as it may be the answer to a Sync of ours";
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_EQ(then(copy), "1 2 G E(22P02) Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, OfACopyThatHasEndedOnTheClientsSide) {
  done(Say().query("COPYIN"));
  asked(Say().data("1").copy_done());
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
}

TEST_F(ConversationLoss, HalfAMessageOfTheClientsIsSwallowed) {
  std::string query = Say().query("SELECT " + std::string(1000, 'x')).bytes;
  asked({query.substr(0, 700)});
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_EQ(then({query.substr(700) + Say().query("SELECT x").bytes}), kX);
}

// ---- What cannot be said ----

TEST_F(ConversationLoss, InTheMiddleOfARowNothingCanBeSaid) {
  asked(Say().query("SELECT " + std::string(100'000, 'x')));
  ann.server_works();
  ann.take_said(60'000);
  ASSERT_TRUE(ann.sayable);
  ann.loses_server();
  EXPECT_FALSE(ann.sayable);
}

TEST_F(ConversationLoss, AfterHalfASmallMessageAllIsWell) {
  asked(Say().query("SELECT x"));
  ann.server_works();
  ann.take_said(one.from_it.size() - 3);
  EXPECT_EQ(lost(), "T(1) D(x) C(SELECT 1) E(57P01) Z(I)");
}

// ---- What is lost with it ----

TEST_F(ConversationLoss, WhatWasPinnedIsMissedOnce) {
  done(Say().query("LOCK k"));
  EXPECT_EQ(lost(), "");
  EXPECT_FALSE(ann.talk.at_rest());
  EXPECT_EQ(then(Say().query("SELECT x")), "E(57P01) Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationLoss, AlsoWhileSomethingOfOursIsUnderWay) {
  done(Say().query("LOCK k"));
  ann.talk.sync(one.to_it);
  EXPECT_EQ(lost(), "");
  EXPECT_EQ(then(Say().query("SELECT x")), "E(57P01) Z(I)");
}

TEST_F(ConversationLoss, WhoIsToldOfItByAQueryIsNotToldAgain) {
  done(Say().query("LOCK k"));
  asked(Say().query("SELECT x"));
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_EQ(then(Say().query("SELECT x")), kX);
}

TEST_F(ConversationLoss, WhileTheSessionIsRestored) {
  done(Say().query("SET work_mem 5"));
  ann.detach();
  ann.attach(two);
  two.to_it.clear();
  EXPECT_EQ(lost(), "");
  EXPECT_TRUE(ann.talk.movable());
  ann.attach(two);
  asked(Say().query("SELECT x"));
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
}

TEST_F(ConversationLoss, WhileAStatementIsPreparedAgain) {
  done(Say().parse("s", "SELECT a").sync());
  ann.detach();
  ann.attach(two);
  ann.hears(Say().run("s").sync().bytes);
  EXPECT_TRUE(ann.talk.waiting());
  two.to_it.clear();
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  EXPECT_FALSE(ann.talk.waiting());
  EXPECT_EQ(then(Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

// What the lost server said of it counts for no other.
TEST_F(ConversationLoss, WhenAStatementThatIsPreparedAgainHasBeenLookedAt) {
  done(Say().parse("s", "SELECT a").sync());
  ann.detach();
  ann.attach(two);
  ann.hears(Say().run("s").sync().bytes);
  ASSERT_TRUE(ann.talk.waiting());
  ann.server_works();
  ann.take_said();
  ASSERT_FALSE(ann.talk.waiting());
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
  Server three(cluster);
  ann.attach(three);
  EXPECT_EQ(ann.says(Say().run("s").sync()), "2 D(a) C(SELECT 1) Z(I)");
}

TEST_F(ConversationLoss, FatalErrorsAreNotPassedOn) {
  done(Say().query("DIE"));
  ASSERT_TRUE(ann.talk.fatal());
  EXPECT_EQ(ann.talk.fatal()->sqlstate, "57P01");
  EXPECT_EQ(lost(), "E(57P01) Z(I)");
}

TEST_F(ConversationLoss, WithoutAServerThereIsNothingToLose) {
  EXPECT_EQ(lost(), "");
  EXPECT_TRUE(ann.talk.movable());
}

// ---- refuse() ----

TEST_F(ConversationLoss, ARefusedRequestIsAnsweredOnce) {
  for (auto& say : {Say().query("SELECT x"), Say().once("SELECT x").sync(), Say().call(),
                    Say().parse("s", "SELECT a").describe("s").flush().sync()}) {
    ann.talk.refuse({"ERROR", "53300", "no server"});
    EXPECT_EQ(ann.talk.refusal().sqlstate, "53300");
    EXPECT_EQ(then(say), "E(53300) Z(I)");
    EXPECT_FALSE(ann.server());
    EXPECT_TRUE(ann.talk.movable());
  }
  EXPECT_EQ(then(Say().run("s").sync()), "E(26000) Z(I)");
}

TEST_F(ConversationLoss, RefusedInALostTransactionItStaysFailed) {
  done(Say().query("BEGIN"));
  lost();
  EXPECT_EQ(then(Say().query("SELECT x")), "E(57P01) Z(E)");
  ann.talk.refuse({"ERROR", "53300", "no server"});
  EXPECT_EQ(then(Say().query("SELECT x")), "E(53300) Z(E)");
  EXPECT_EQ(then(Say().query("ROLLBACK")), "C(ROLLBACK) Z(I)");
}

TEST_F(ConversationLoss, TerminateIsLeftToTheCaller) {
  ann.talk.refuse({"ERROR", "53300", "no server"});
  ann.hears(Say().add('X').bytes);
  EXPECT_EQ(ann.heard.size(), 5u);
  EXPECT_EQ(ann.words(), "");
}

}  // namespace
}  // namespace halogen::proxy::testing
