// What goes through a Conversation as it is, however the bytes are cut; and what is no protocol.
#include <gmock/gmock.h>

#include "base/error.h"
#include "proxy/testing/conversation_world.h"

namespace halogen::proxy::testing {
namespace {

TEST_F(ConversationTest, SimpleQueries) {
  EXPECT_EQ(ann.on(one, Say().query("SELECT x; SET a b; NOTICE n; SELECT y")),
            "T(1) D(x) C(SELECT 1) C(SET) N(n) C(NOTICE) T(1) D(y) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("")), "I Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("SELECT x; FAIL; SELECT y")),
            "T(1) D(x) C(SELECT 1) E(22012) Z(I)");
}

TEST_F(ConversationTest, PipelinesAcrossTransactions) {
  Say say;
  say.query("BEGIN").once("SELECT a").sync().query("COMMIT").once("BEGIN").sync();
  say.run("none").once("SELECT b").sync().once("ROLLBACK").sync().query("SELECT c");
  EXPECT_EQ(ann.on(one, say),
            "C(BEGIN) Z(T) 1 2 D(a) C(SELECT 1) Z(T) C(COMMIT) Z(I) 1 2 C(BEGIN) Z(T) "
            "E(26000) Z(E) 1 2 C(ROLLBACK) Z(I) T(1) D(c) C(SELECT 1) Z(I)");
}

TEST_F(ConversationTest, PortalsThatAreReadInParts) {
  Say say;
  say.parse("s", "ROWS 3").bind("s", {}, "p").describe_portal("p").execute("p", 2);
  EXPECT_EQ(ann.on(one, say.execute("p", 2).sync()), "1 2 T(1) D(0) D(1) s D(2) C(SELECT 3) Z(I)");
}

TEST_F(ConversationTest, DescribeOfStatementsAndPortalsWithoutRows) {
  Say say;
  say.parse("s", "SET a b").describe("s").bind("s").describe_portal("").execute().sync();
  EXPECT_EQ(ann.on(one, say), "1 t n 2 n C(SET) Z(I)");
}

TEST_F(ConversationTest, EmptyStatementsAndFunctionCalls) {
  EXPECT_EQ(ann.on(one, Say().once("").sync()), "1 2 I Z(I)");
  EXPECT_EQ(ann.on(one, Say().call().query("SELECT x")), "V Z(I) T(1) D(x) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().query("BEGIN").query("FAIL").call()),
            "C(BEGIN) Z(T) E(22012) Z(E) E(25P02) Z(E)");
}

TEST_F(ConversationTest, CopyOut) {
  EXPECT_EQ(ann.on(one, Say().query("COPYOUT; SELECT x")),
            "H d(data) c C(COPY 1) T(1) D(x) C(SELECT 1) Z(I)");
  EXPECT_EQ(ann.on(one, Say().once("COPYOUT").sync()), "1 2 H d(data) c C(COPY 1) Z(I)");
}

TEST_F(ConversationTest, CopyInByASimpleQuery) {
  EXPECT_EQ(ann.on(one, Say().query("COPYIN; COPYIN")), "G");
  EXPECT_EQ(ann.on(one, Say().data("1").data("2").copy_done()), "C(COPY 2) G");
  EXPECT_EQ(ann.on(one, Say().copy_done()), "C(COPY 0) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().query("COPYIN")), "G");
  EXPECT_EQ(ann.on(one, Say().data("bad").data("2").copy_done()), "E(22P02) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().query("COPYIN").copy_fail()), "G E(57014) Z(I)");
}

// libpq sends Sync right behind Execute: the server takes it for a part of the data.
TEST_F(ConversationTest, CopyInWithTheSyncOfLibpq) {
  EXPECT_EQ(ann.on(one, Say().once("COPYIN").sync()), "1 2 G");
  EXPECT_FALSE(ann.talk.nothing_under_way());
  EXPECT_EQ(ann.on(one, Say().data("1").sync().copy_done().sync()), "C(COPY 1) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().once("COPYIN").sync()), "1 2 G");
  EXPECT_EQ(ann.on(one, Say().data("bad").copy_done().sync()), "E(22P02) Z(I)");
  EXPECT_EQ(ann.on(one, Say().once("COPYIN").sync()), "1 2 G");
  EXPECT_EQ(ann.on(one, Say().data("bad")), "E(22P02)");
  EXPECT_EQ(ann.on(one, Say().copy_done().sync()), "Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationTest, CopyInThatIsSentAtOnce) {
  Say say;
  say.once("COPYIN").sync().data("1").copy_done().describe_portal("").once("SELECT x").sync();
  EXPECT_EQ(ann.on(one, say), "1 2 G C(COPY 1) n 1 2 D(x) C(SELECT 1) Z(I)");
  Say more;
  more.parse("s", "ROWS 1").bind("s", {}, "p").once("COPYIN").copy_done().execute("p").sync();
  EXPECT_EQ(ann.on(one, more), "1 2 1 2 G C(COPY 0) D(0) C(SELECT 1) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationTest, CountsWhatWasAsked) {
  ann.on(one, Say().query("BEGIN").once("SELECT x").sync().query("COMMIT").query("SELECT x"));
  Conversation::Counts counts = ann.talk.take_counts();
  EXPECT_EQ(counts.queries, 4u);
  EXPECT_EQ(counts.transactions, 2u);
  EXPECT_EQ(ann.talk.take_counts().queries, 0u);
}

TEST_F(ConversationTest, TerminateIsLeftToTheCaller) {
  ann.attach(one);
  ann.hears(Say().query("SELECT x").add('X').query("SELECT y").bytes);
  EXPECT_EQ(one.to_it, Say().query("SELECT x").bytes);
  EXPECT_EQ(ann.heard[0], 'X');
}

TEST_F(ConversationTest, HalfAMessageIsNotWorthAServerUnlessItIsLarge) {
  std::string small = Say().query("SELECT x").bytes;
  std::string large = Say().query(std::string(100'000, 'x')).bytes;
  for (size_t i = 0; i < small.size(); i++)
    EXPECT_FALSE(ann.talk.worth_a_server(small.substr(0, i)));
  EXPECT_TRUE(ann.talk.worth_a_server(small));
  EXPECT_FALSE(ann.talk.worth_a_server(large.substr(0, 30'000)));
  EXPECT_TRUE(ann.talk.worth_a_server(large.substr(0, 40'000)));
}

// ---- However the bytes are cut ----

const Say& everything() {
  static const Say say = [] {
    Say all;
    std::string large(50'000, 'y');
    all.query("SELECT x").parse("s", "SELECT $1").describe("s").run("s", {"v"}).sync();
    all.query("SET TimeZone Oslo; NOTICE n").query("BEGIN").run("s", {"w"}).run("none").sync();
    all.query("ROLLBACK").parse("s", "SELECT b").sync().once("").query("EXECUTE s");
    all.once("DEALLOCATE s").sync().run("s").sync().call().query("COPYOUT").query("COPYIN");
    all.data("1").copy_done().once("COPYIN").sync().data("2").copy_done().sync();
    all.parse("", "ROWS 5").bind("", {}, "p").execute("p", 2).execute("p").sync().query("FAIL");
    return all.parse("big", "SELECT $1").run("big", {large}).close("big").sync();
  }();
  return say;
}

// In pieces of so many bytes each; the server's likewise, each time that something has come.
std::string in_pieces(size_t clients, size_t servers) {
  FakeCluster cluster;
  StatementTexts texts;
  Server before(cluster);
  Server server(cluster);
  Client client(texts, {{"work_mem", "5"}});
  client.on(before, Say().parse("old", "SELECT o").sync());
  client.attach(server);
  std::string bytes = everything().bytes + Say().run("old").sync().bytes;
  auto pump = [&] {
    while (true) {
      client.server_works();
      size_t left = server.from_it.size();
      std::string& said = server.from_it;
      size_t most = servers;
      // More is shown of what is not used by itself.
      while (!said.empty() && said.size() == left && most < left + servers) {
        client.take_said(most);
        most += servers;
      }
      client.take_heard();
      if (server.to_it.empty() && said.size() == left) return;
    }
  };
  for (size_t at = 0; at < bytes.size(); at += clients) {
    client.hears(bytes.substr(at, clients));
    pump();
  }
  EXPECT_TRUE(client.heard.empty());
  EXPECT_TRUE(server.from_it.empty());
  EXPECT_TRUE(client.talk.movable());
  return client.told;
}

TEST(ConversationPieces, HoweverTheBytesAreCutTheResultIsTheSame) {
  std::string whole = in_pieces(1'000'000, 1'000'000);
  std::string words = words_of_stream(whole);
  EXPECT_THAT(words, ::testing::HasSubstr("C(DEALLOCATE) Z(I) E(26000) Z(I) V Z(I) H d(data)"));
  EXPECT_THAT(words, ::testing::EndsWith("2 D(o) C(SELECT 1) Z(I)"));
  for (size_t piece : {1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 64, 1000, 20'000}) {
    EXPECT_EQ(words_of_stream(in_pieces(piece, 1'000'000)), words) << piece;
    EXPECT_EQ(words_of_stream(in_pieces(1'000'000, piece)), words) << piece;
    EXPECT_EQ(words_of_stream(in_pieces(piece, piece + 1)), words) << piece;
  }
}

TEST(ConversationPieces, EveryBoundaryOfAShortOne) {
  Say say = Say().parse("s", "SELECT $1").run("s", {"v"}).sync().query("EXECUTE s");
  for (size_t cut = 0; cut <= say.bytes.size(); cut++) {
    FakeCluster cluster;
    StatementTexts texts;
    Server server(cluster);
    Client client(texts);
    client.attach(server);
    std::string words = client.says({say.bytes.substr(0, cut)});
    std::string more = client.says({say.bytes.substr(cut)});
    if (!words.empty() && !more.empty()) words += " ";
    EXPECT_EQ(words + more, "1 2 D(v) C(SELECT 1) Z(I) T(1) D(argument) C(SELECT 1) Z(I)") << cut;
  }
}

// ---- What is no protocol ----

TEST_F(ConversationTest, FromTheClient) {
  std::vector<std::string> bad{std::string("Q\0\0\0\3", 5),    std::string("Q\x7f\0\0\0", 5),
                               Say().add('P', "no end").bytes, Say().add('P', {"a\0b", 3}).bytes,
                               Say().add('B', "no end").bytes, Say().add('D').bytes,
                               Say().add('C', "S").bytes,      Say().add('?').bytes};
  for (auto& bytes : bad) {
    Client client(texts);
    Server server(cluster);
    client.attach(server);
    EXPECT_THROW(client.hears(bytes), Error) << bytes;
  }
}

// What is held up to its end, and what is refused instead: the rest of its pipeline is skipped.
TEST_F(ConversationTest, LargeMessagesThatAreHeldOrRefused) {
  std::string text(100'000, 'x');
  Say large = Say().parse("", "SELECT " + text);
  EXPECT_EQ(ann.talk.size_to_hold(large.bytes), 0);
  EXPECT_EQ(ann.talk.size_to_hold(large.bytes.substr(0, 40'000)), large.bytes.size());
  EXPECT_EQ(ann.talk.size_to_hold(large.bytes.substr(0, 1000)), 0);
  EXPECT_EQ(ann.talk.size_to_hold(Say().query(text).bytes.substr(0, 40'000)), 0);
  EXPECT_EQ(ann.talk.size_to_hold(Say().bind("s", {text}).bytes.substr(0, 40'000)), 0);
  EXPECT_EQ(ann.talk.size_to_hold(Say().bind(text).bytes.substr(0, 40'000)),
            Say().bind(text).bytes.size());
  const wire::ErrorFields why{"ERROR", "54000", "too large"};
  for (bool attached : {false, true}) {
    if (attached) ann.attach(one);
    std::string half = large.bytes.substr(0, 40'000);
    ann.hears(half);
    ann.talk.refuse_message(why);
    ann.heard = half;
    ann.take_heard();
    ann.hears(large.bytes.substr(40'000));
    EXPECT_EQ(ann.says(Say().run("").once("SELECT y").sync()), "E(54000) Z(I)");
  }
  EXPECT_EQ(ann.on(one, Say().query("SELECT x")), "T(1) D(x) C(SELECT 1) Z(I)");
}

TEST_F(ConversationTest, FromTheServer) {
  for (std::string_view type : {"Z", "1", "2", "3", "T", "t", "n", "C", "I", "s", "G", "?", "R"}) {
    Client client(texts);
    Server server(cluster);
    client.attach(server);
    wire::put_message(server.from_it, type[0], "IIII");
    EXPECT_THROW(client.take_said(), Error) << type;
  }
}

// A compute cannot make us hold what it likes: only what has no need to be looked at is large.
TEST_F(ConversationTest, LargeMessagesOfTheServerAreNotHeld) {
  constexpr size_t kSize = 20 << 20;
  for (std::string_view type : {"S", "T", "C", "A", "Z", "1", "G"}) {
    Client client(texts);
    Server server(cluster);
    client.attach(server);
    wire::put_message(server.from_it, type[0], std::string(kSize, 'x'));
    EXPECT_THROW(client.take_said(64 << 10), Error) << type;
  }
  for (std::string_view type : {"D", "d", "V", "N", "E"}) {
    Client client(texts);
    Server server(cluster);
    client.attach(server);
    std::string body = "SERROR" + std::string(1, '\0') + "C22012" + std::string(1, '\0') + "M";
    wire::put_message(server.from_it, type[0], body.append(kSize, 'x').append(2, '\0'));
    std::string whole = server.from_it;
    while (!server.from_it.empty()) {
      size_t before = server.from_it.size();
      client.take_said(64 << 10);
      ASSERT_LT(server.from_it.size(), before);
    }
    EXPECT_TRUE(client.told == whole) << type;
  }
}

// ---- COPY that fails before it reads: whether its Sync will be answered nobody says ----

TEST_F(ConversationTest, ACopyThatFailsBeforeItReadsLeavesItsSyncToBeAnswered) {
  EXPECT_EQ(ann.on(one, Say().once("COPYNO").sync()), "1 2 G E(42809) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().once("COPYNO").sync().data("1").copy_done().sync()),
            "1 2 G E(42809) Z(I) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationTest, ACopyThatFailsLaterHasReadItsSync) {
  EXPECT_EQ(ann.on(one, Say().once("COPYIN").sync().data("bad")), "1 2 G E(22P02)");
  EXPECT_FALSE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().data("1").copy_done().sync()), "Z(I)");
  EXPECT_TRUE(ann.talk.movable());
  EXPECT_EQ(ann.on(one, Say().once("COPYIN").sync().data("bad").copy_done().sync()),
            "1 2 G E(22P02) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

// Whatever was done with its Sync, what stands behind its data is done as Postgres does it.
TEST_F(ConversationTest, WhatStandsBehindTheDataOfACopyIsDoneIfTheSyncWasAnswered) {
  const std::string run = "2 D(a) C(SELECT 1) Z(I)";
  ann.on(one, Say().parse("s", "SELECT a").sync());
  for (Server* server : {&one, &two}) {  // One has the statement.
    auto behind = [&](const char* sql, const char* data) {
      Say copy = Say().once(sql).sync().data(data).copy_done();
      return ann.on(*server, copy.run("s").sync());
    };
    EXPECT_EQ(behind("COPYNO", "1"), "1 2 G E(42809) Z(I) " + run);
    EXPECT_EQ(behind("COPYIN", "bad"), "1 2 G E(22P02) Z(I)");
    EXPECT_EQ(behind("COPYIN", "1"), "1 2 G C(COPY 1) " + run);
    EXPECT_EQ(behind("SELECT x", "1"), "1 2 D(x) C(SELECT 1) Z(I) " + run);
    EXPECT_TRUE(ann.talk.movable());
  }
}

TEST_F(ConversationTest, AnyNumberOfSyncsMayStandAmongTheDataOfACopy) {
  auto copied = [&](const char* sql, const char* data) {
    Say copy = Say().once(sql).sync().sync().data("1").sync().data(data).sync();
    return ann.on(one, copy.copy_done().once("SELECT x").sync().query("SELECT y"));
  };
  const std::string x = "1 2 D(x) C(SELECT 1) Z(I) ";
  const std::string y = "T(1) D(y) C(SELECT 1) Z(I)";
  EXPECT_EQ(copied("COPYIN", "2"), "1 2 G C(COPY 2) " + x + y);
  EXPECT_EQ(copied("COPYIN", "bad"), "1 2 G E(22P02) Z(I) " + x + y);
  EXPECT_EQ(copied("COPYNO", "2"), "1 2 G E(42809) Z(I) Z(I) Z(I) Z(I) " + x + y);
  EXPECT_TRUE(ann.talk.movable());
}

// What ends here is no transaction of the client's.
TEST_F(ConversationTest, AnAnswerToNothingAmongSyncsIsCorrupt) {
  ann.on(one, Say().once("COPYIN").sync().data("bad"));
  wire::put_message(one.from_it, '3');
  EXPECT_THROW(ann.take_said(), Error);
}

TEST_F(ConversationTest, ACopyThatSucceedsIsFollowedByNoSyncButItsClients) {
  ann.on(one, Say().once("COPYIN").sync().data("1").copy_done().once("SELECT x").flush());
  EXPECT_EQ(one.times("S"), 0u);
  EXPECT_EQ(ann.on(one, Say().sync()), "Z(I)");
  EXPECT_EQ(one.times("S"), 1u);
}

// As Postgres does, which cannot tell where the next message begins.
TEST_F(ConversationTest, WhatHasNoPlaceInACopyEndsTheSession) {
  for (const Say& copy : {Say().query("COPYIN"), Say().once("COPYIN").sync().data("1")})
    for (const Say& other : {Say().query("SELECT x"), Say().run("s").sync(), Say().add('z')}) {
      Client client(texts);
      Server server(cluster);
      client.on(server, copy);
      EXPECT_EQ(client.on(server, other), "E(08P01)");
      ASSERT_TRUE(client.talk.fatal());
      EXPECT_EQ(client.talk.fatal()->sqlstate, "08P01");
    }
}

TEST_F(ConversationTest, WhatFollowsACopyThatHasFailedBreaksNothing) {
  for (const char* copy : {"COPYIN", "COPYNO"}) {
    ann.attach(one);
    ann.says(Say().parse("s", "SELECT a").sync().once(copy).flush());
    ann.hears(Say().data("bad").bytes);
    ann.hears(Say().run("s").sync().query("SELECT x").bytes);
    ann.settle();
    std::string failed = copy == std::string("COPYIN") ? "E(22P02) " : "";
    EXPECT_EQ(ann.words(), failed + "Z(I) T(1) D(x) C(SELECT 1) Z(I)") << copy;
    EXPECT_EQ(ann.on(one, Say().close("s").sync()), "3 Z(I)");
  }
}

TEST_F(ConversationTest, NobodyWaitsBehindACopyThatFailed) {
  Say say = Say().parse("s", "SELECT a").once("COPYIN").sync().data("bad").copy_done();
  EXPECT_EQ(ann.on(one, say.run("s").sync()), "1 1 2 G E(22P02) Z(I)");
  EXPECT_TRUE(ann.talk.movable());
}

TEST_F(ConversationTest, WhatIsLeftOfACopyThatFailedReachesNoServer) {
  ann.attach(one);
  EXPECT_EQ(ann.says(Say().query("COPYIN").data("bad")), "G E(22P02) Z(I)");
  ann.hears(Say().data("1").copy_done().bytes);
  EXPECT_EQ(one.to_it, "");
  EXPECT_TRUE(ann.talk.movable());
  ann.detach();
  ann.hears(Say().data("1").copy_fail().flush().bytes);
  EXPECT_EQ(ann.heard, "");
  EXPECT_EQ(ann.words(), "");
}

}  // namespace
}  // namespace halogen::proxy::testing
