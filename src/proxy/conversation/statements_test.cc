// Texts of prepared statements, what a server has of them, and SQL that names one.
#include "proxy/conversation/statements.h"

#include <gmock/gmock.h>

#include <thread>

namespace halogen::proxy {
namespace {

using ::testing::ElementsAre;

StatementText text(const std::string& parse, const std::string& settings = "") {
  StatementText one;
  one.parse = parse;
  one.settings = settings;
  return one;
}

TEST(StatementTexts, TheSameTextIsSharedWhileAnybodyHasIt) {
  StatementTexts texts;
  TextPtr a = texts.find_or_add("", text("SELECT 1"));
  TextPtr b = texts.find_or_add("", text("SELECT 2"));
  EXPECT_EQ(texts.find_or_add("", text("SELECT 1")), a);
  EXPECT_NE(a->id, b->id);
  uint64_t id = a->id;
  a.reset();
  EXPECT_NE(texts.find_or_add("", text("SELECT 1"))->id, id);
  EXPECT_EQ(texts.find_or_add("", text("SELECT 2")), b);
}

TEST(StatementTexts, TypesOrSettingsMakeAnotherText) {
  StatementTexts texts;
  TextPtr one = texts.find_or_add("", text({"SELECT $1\0\0\0", 12}));
  EXPECT_NE(texts.find_or_add("", text({"SELECT $1\0\0\1\0\0\0\x17", 16})), one);
  EXPECT_NE(texts.find_or_add("", text({"SELECT $1\0\0\0", 12}, ",E'TimeZone',E'UTC'")), one);
  EXPECT_NE(texts.find_or_add(",E'startup'", text({"SELECT $1\0\0\0", 12})), one);
}

TEST(StatementTexts, ThreadsMayShareAndDropThem) {
  StatementTexts texts;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&texts] {
      for (int n = 0; n < 2000; n++) {
        TextPtr found = texts.find_or_add("", text(std::to_string(n % 3)));
        EXPECT_EQ(found->parse, std::to_string(n % 3));
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(ServerStatements, KnowsWhatWasPut) {
  ServerStatements server;
  TextPtr a = make_text("a", "");
  EXPECT_EQ(server.find(a), nullptr);
  server.put(a, "one");
  ASSERT_NE(server.find(a), nullptr);
  EXPECT_EQ(server.find(a)->name, "one");
  EXPECT_EQ(server.take_surplus(), std::nullopt);
  server.put(a, "two");
  EXPECT_EQ(server.find(a)->name, "two");
  EXPECT_EQ(server.take_surplus(), "one");
  EXPECT_EQ(server.size(), 1u);
  server.remove(a);
  server.remove(a);
  EXPECT_EQ(server.find(a), nullptr);
  server.put(a, "three");
  server.clear();
  EXPECT_EQ(server.size(), 0u);
}

TEST(ServerStatements, NamesSayNothingAndAreNotUsedTwice) {
  ServerStatements one, another;
  EXPECT_EQ(one.new_name(), "halogen.1");
  EXPECT_EQ(one.new_name(), "halogen.2");
  EXPECT_EQ(another.new_name(), "halogen.1");
}

TEST(ServerStatements, OfTwoAlikeTheOlderStays) {
  ServerStatements server;
  TextPtr first = make_text("a", ""), second = make_text("a", ""), same = make_text("a", "");
  server.put(first, "one");
  server.know(first, same, 7);
  server.put(second, "two");
  server.know(second, same, 7);
  EXPECT_EQ(server.find(same)->name, "one");
  EXPECT_EQ(server.find(second), nullptr);
  EXPECT_EQ(server.take_surplus(), "two");
}

TEST(ServerStatements, OneThatLooksOtherwiseTakesThePlace) {
  ServerStatements server;
  TextPtr first = make_text("a", ""), second = make_text("a", ""), same = make_text("a", "");
  server.put(first, "one");
  server.know(first, same, 7);
  server.put(second, "two");
  server.know(second, same, 8);
  EXPECT_EQ(server.find(same)->name, "two");
  EXPECT_EQ(server.find(same)->description, 8u);
  EXPECT_EQ(server.take_surplus(), "one");
}

TEST(ServerStatements, TheLeastUsedIsTheSurplus) {
  ServerStatements server;
  std::vector<TextPtr> all;
  for (size_t i = 0; i <= ServerStatements::kMost; i++)
    all.push_back(make_text(std::to_string(i), ""));
  for (size_t i = 0; i < ServerStatements::kMost; i++) server.put(all[i], std::to_string(i));
  EXPECT_EQ(server.take_surplus(), std::nullopt);
  server.find(all[0]);      // Looking is use,
  server.put(all[1], "1");  // and so is putting.
  server.put(all.back(), "one more");
  EXPECT_EQ(server.take_surplus(), "2");
  EXPECT_EQ(server.find(all[2]), nullptr);
  EXPECT_EQ(server.take_surplus(), std::nullopt);
  EXPECT_EQ(server.size(), ServerStatements::kMost);
}

// ---- SQL that names one ----

TEST(NamesInSql, AStatementOfTheKindIsFoundWhereverItStands) {
  for (const char* sql :
       {"EXECUTE a", "deallocate Prepare a", "/* x */ DEALLOCATE a", "SELECT 1; execute a(1)",
        "EXPLAIN EXECUTE a", "create table t as\nexecute a", "DEALLOCATE/**/a", "prepare a as b"})
    EXPECT_TRUE(names_statements(sql)) << sql;
  for (const char* sql : {"", "SELECT 1", "execut", "deallocat", "update t set d = 1"})
    EXPECT_FALSE(names_statements(sql)) << sql;
}

TEST(NamesInSql, WordsAreFoldedAndQuotedNamesAreNot) {
  auto any = [](const std::string&) { return true; };
  EXPECT_THAT(names_in_sql("EXECUTE Ab_1$(1, \"C;\"\"D \")", any),
              ElementsAre("C;\"D ", "ab_1$", "execute"));
  EXPECT_THAT(names_in_sql("\"open", any), ElementsAre("open"));
  EXPECT_THAT(names_in_sql("1 + 2", any), ElementsAre());
}

}  // namespace
}  // namespace halogen::proxy
