// Sessions' state on servers that are shared: restored when and only when it has to be, kept where
// it cannot be moved. And what clients are told of settings and notifications.
#include <gmock/gmock.h>

#include "base/error.h"
#include "proxy/testing/conversation_world.h"

namespace halogen::proxy::testing {
namespace {

using ConversationState = ConversationTest;
constexpr char kX[] = "T(1) D(x) C(SELECT 1) Z(I)";

TEST_F(ConversationState, IsRestoredWhenAndOnlyWhenNeeded) {
  ann.on(one, Say().query("SELECT x"));
  bob.on(one, Say().query("SELECT x"));
  EXPECT_EQ(one.restores(), 0u);
  EXPECT_EQ(ann.on(one, Say().query("SET work_mem 5")), "C(SET) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("SHOW work_mem")), "T(1) D(default) C(SELECT 1) Z(I)");
  EXPECT_EQ(one.restores(), 1u);
  bob.on(one, Say().query("SELECT x"));
  EXPECT_EQ(one.restores(), 1u);
  for (Server* server : {&two, &one, &two})
    EXPECT_EQ(ann.on(*server, Say().query("SHOW work_mem")), "T(1) D(5) C(SELECT 1) Z(I)");
  EXPECT_EQ(one.restores(), 2u);
  EXPECT_EQ(two.restores(), 1u);
}

TEST_F(ConversationState, GoesAheadOfWhateverTheClientSaysFirst) {
  ann.on(one, Say().query("SET work_mem it's\\"));
  EXPECT_EQ(ann.on(two, Say().once("SHOW work_mem").sync()), "1 2 D(it's\\) C(SELECT 1) Z(I)");
  ann.on(one, Say().parse("s", "SHOW work_mem").sync());
  ann.on(one, Say().query("SET work_mem 6"));
  EXPECT_EQ(ann.on(two, Say().run("s").sync()), "2 D(6) C(SELECT 1) Z(I)");
  ann.on(one, Say().query("SET work_mem 7"));
  EXPECT_EQ(ann.on(two, Say().call()), "V Z(I)");
}

TEST_F(ConversationState, OfATransactionThatIsRolledBackNeverWas) {
  EXPECT_EQ(ann.on(one, Say().query("BEGIN").query("SET work_mem 5").query("ROLLBACK")),
            "C(BEGIN) Z(T) C(SET) Z(T) C(ROLLBACK) Z(I)");
  EXPECT_EQ(ann.on(two, Say().query("SHOW work_mem")), "T(1) D(default) C(SELECT 1) Z(I)");
  EXPECT_EQ(two.restores(), 0u);
}

TEST_F(ConversationState, StartupSettingsAreThoseOfEachClient) {
  Client carl(texts, {{"work_mem", "9"}});
  Client dora(texts, {{"work_mem", "9"}});
  EXPECT_EQ(carl.on(one, Say().query("SHOW work_mem")), "T(1) D(9) C(SELECT 1) Z(I)");
  EXPECT_EQ(carl.on(one, Say().query("SET work_mem 5").query("RESET work_mem")),
            "C(SET) Z(I) C(RESET) Z(I)");
  EXPECT_EQ(dora.on(one, Say().query("SHOW work_mem")), "T(1) D(9) C(SELECT 1) Z(I)");
  EXPECT_EQ(one.restores(), 1u);
  EXPECT_EQ(ann.on(one, Say().query("SHOW work_mem")), "T(1) D(default) C(SELECT 1) Z(I)");
}

TEST_F(ConversationState, OnesSequencesAreNotAnothers) {
  EXPECT_EQ(ann.on(one, Say().query("NEXTVAL")), "T(1) D(1) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("CURRVAL")), "T(1) D(1) C(SELECT 1) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("CURRVAL")), "E(55000) Z(I)");
}

TEST_F(ConversationState, ARestoreThatFailsEndsTheServer) {
  ann.on(one, Say().query("SET work_mem 5"));
  ann.attach(two);
  EXPECT_TRUE(ann.talk.restoring());
  ann.hears(Say().query("SELECT x").bytes);
  wire::put_error(two.from_it, {"ERROR", "57014", "canceling statement"});
  ann.take_said();
  ASSERT_TRUE(ann.talk.fatal());
  EXPECT_EQ(ann.talk.fatal()->sqlstate, "57014");
  EXPECT_EQ(ann.words(), "");
  EXPECT_EQ(ann.loses_server(), "E(57P01) Z(I)");
}

TEST_F(ConversationState, SyncAsksForTheOutcome) {
  ann.on(one, Say().query("SET work_mem 5"));
  ann.attach(two);
  ann.talk.sync(two.to_it);
  EXPECT_FALSE(ann.talk.at_rest());
  ann.settle();
  EXPECT_EQ(ann.words(), "");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(two.postgres.session.setting("work_mem"), "5");
}

TEST_F(ConversationState, AReportThatIsNoneIsCorrupt) {
  ann.attach(one);
  wire::put_parameter_status(one.from_it, kSessionStateParameter, "{");
  EXPECT_THROW(ann.take_said(), Error);
}

// ---- Pins ----

TEST_F(ConversationState, WhatCannotBeMovedKeepsItsServerUntilItIsGone) {
  EXPECT_EQ(ann.on(one, Say().query("LOCK k")), "C(LOCK) Z(I)");
  EXPECT_TRUE(ann.talk.at_rest());
  EXPECT_FALSE(ann.talk.movable());
  EXPECT_EQ(ann.talk.pinned_by(), "advisory_lock");
  EXPECT_EQ(ann.on(one, Say().query("UNLOCK k")), "C(UNLOCK) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationState, IsNotAtRestInTransactionsAndPipelines) {
  struct Case {
    Say say;
    bool at_rest;
  };
  std::vector<Case> cases{{Say().query("BEGIN"), false},
                          {Say().query("FAIL"), false},
                          {Say().query("ROLLBACK"), true},
                          {Say().parse("", "SELECT x").flush(), false},
                          {Say().sync(), true},
                          {Say().query("COPYIN"), false},
                          {Say().copy_done(), true},
                          {Say().once("COPYIN").flush(), false},
                          {Say().copy_done().sync(), true},
                          {Say().flush(), true},
                          {Say().query("SELECT x"), true},
                          {Say().run("none").flush(), false},
                          {Say().query("SELECT x"), false},
                          {Say().sync(), true},
                          {Say().once("ROWS 3").sync(), true}};
  ann.attach(one);
  for (size_t i = 0; i < cases.size(); i++) {
    ann.says(cases[i].say);
    EXPECT_EQ(ann.talk.movable(), cases[i].at_rest) << i;
  }
  ann.hears(Say().query("SELECT x").bytes.substr(0, 4));
  EXPECT_TRUE(ann.talk.nothing_under_way());  // Nothing of it is passed on.
}

TEST_F(ConversationState, HalfAMessageThatIsPassedOnKeepsTheServer) {
  ann.attach(one);
  std::string query = Say().query("SELECT " + std::string(1000, 'x')).bytes;
  ann.hears(query.substr(0, 700));
  EXPECT_FALSE(ann.talk.nothing_under_way());
  EXPECT_FALSE(ann.talk.movable());
  EXPECT_THAT(ann.says({query.substr(700)}), ::testing::EndsWith("C(SELECT 1) Z(I)"));
  EXPECT_TRUE(ann.talk.movable());
}

// ---- Reported settings ----

TEST_F(ConversationState, ClientsAreToldOfSettingsThatAreOthersThanTheyKnow) {
  EXPECT_EQ(ann.on(one, Say().query("SET TimeZone Oslo")), "C(SET) S(TimeZone=Oslo) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("SELECT x")), kX);
  EXPECT_EQ(ann.on(two, Say().query("SELECT x")), kX);
  EXPECT_EQ(bob.on(two, Say().query("SET TimeZone Rome")), "C(SET) S(TimeZone=Rome) Z(I)");
  EXPECT_EQ(ann.on(two, Say().query("SET TimeZone Rome")), "C(SET) S(TimeZone=Rome) Z(I)");
  EXPECT_EQ(bob.on(one, Say().query("RESET TimeZone")), "C(RESET) S(TimeZone=default) Z(I)");
}

TEST_F(ConversationState, AServerWithOtherSettingsIsTold) {
  Client carl(texts, {{"TimeZone", "Bern"}});
  EXPECT_EQ(carl.on(one, Say().query("SELECT x")), kX);
  FakePostgres other(cluster, {{{"application_name", "new"}}, true});
  Server three(cluster);
  three.state.reported = std::make_shared<Reported>(other.reported());
  EXPECT_EQ(ann.on(three, Say().query("SELECT x")),
            "T(1) D(x) C(SELECT 1) S(application_name=new) Z(I)");
}

// ---- Notifications ----

TEST_F(ConversationState, WhoListensIsReadyOnlyWhenItIsHeardFor) {
  EXPECT_EQ(ann.on(one, Say().query("LISTEN c")), "C(LISTEN)");
  ASSERT_TRUE(ann.talk.held());
  EXPECT_FALSE(ann.talk.at_rest());
  ann.talk.release();
  ann.settle();
  EXPECT_EQ(ann.words(), "Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.says(Say().query("SELECT x")), kX);  // Its channels are the same: not held again.
}

TEST_F(ConversationState, NotificationsOfServersAreNotPassedOn) {
  ann.on(one, Say().query("LISTEN c"));
  ann.talk.release();
  one.postgres.notify("c", "1", one.from_it);
  ann.settle();
  EXPECT_EQ(ann.words(), "Z(I)");
}

TEST_F(ConversationState, WhoNotifiesItselfIsReadyOnlyWhenItWasTold) {
  ann.on(one, Say().query("LISTEN c"));
  ann.talk.release();
  ann.settle();
  ann.words();
  wire::put_parameter_status(one.from_it, kNotifiedParameter, "7");
  ann.says(Say().query("SELECT x"));
  ASSERT_TRUE(ann.talk.held());
  EXPECT_EQ(ann.talk.take_notified(), 7u);
  EXPECT_EQ(ann.talk.take_notified(), std::nullopt);
  ann.talk.release();
  ann.settle();
  EXPECT_EQ(ann.words(), "Z(I)");
}

TEST_F(ConversationState, WhoNotifiesOthersOnlyIsNotHeld) {
  ann.attach(one);
  wire::put_parameter_status(one.from_it, kNotifiedParameter, "7");
  EXPECT_EQ(ann.says(Say().query("SELECT x")), kX);
  EXPECT_EQ(ann.talk.take_notified(), 7u);
}

TEST_F(ConversationState, ADirectSessionThatListensIsMovable) {
  Client carl(texts, {}, false);
  carl.on(one, Say().query("LISTEN c"));
  carl.talk.release();
  carl.settle();
  carl.words();
  carl.detach();
  EXPECT_TRUE(carl.talk.movable());
  EXPECT_EQ(carl.on(two, Say().query("SELECT x")), kX);
  EXPECT_TRUE(two.postgres.session.listens("c"));
}

TEST_F(ConversationState, AServersOldChannelsAreNotTheNextClients) {
  ann.on(one, Say().query("LISTEN c"));
  ann.talk.release();
  ann.settle();
  ann.detach();
  bob.attach(one);
  one.postgres.notify("c", "1", one.from_it);
  bob.settle();
  EXPECT_EQ(bob.says(Say().query("SELECT x")), kX);
  EXPECT_FALSE(one.postgres.session.listens("c"));
}

}  // namespace
}  // namespace halogen::proxy::testing
