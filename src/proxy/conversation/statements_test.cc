// Texts of prepared statements, what a server has of them, and SQL that names one.
#include "proxy/conversation/statements.h"

#include <gtest/gtest.h>

#include <thread>

namespace halogen::proxy {
namespace {

TEST(StatementTexts, TheSameTextIsSharedWhileAnybodyHasIt) {
  StatementTexts texts;
  TextPtr a = texts.find_or_add("SELECT 1");
  TextPtr b = texts.find_or_add("SELECT 2");
  EXPECT_EQ(texts.find_or_add("SELECT 1"), a);
  EXPECT_NE(a->server_name(), b->server_name());
  uint64_t id = a->id;
  a.reset();
  TextPtr again = texts.find_or_add("SELECT 1");
  EXPECT_NE(again->id, id);
  EXPECT_EQ(texts.find_or_add("SELECT 2"), b);
}

TEST(StatementTexts, TypesOfParametersMakeAnotherText) {
  StatementTexts texts;
  EXPECT_NE(texts.find_or_add({"SELECT $1\0\0\0", 12}),
            texts.find_or_add({"SELECT $1\0\0\1\0\0\0\x17", 16}));
}

TEST(StatementTexts, ThreadsMayShareAndDropThem) {
  StatementTexts texts;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&texts] {
      for (int n = 0; n < 2000; n++) {
        TextPtr text = texts.find_or_add(std::to_string(n % 3));
        EXPECT_EQ(text->parse, std::to_string(n % 3));
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(ServerStatements, KnowsWhatWasPut) {
  StatementTexts texts;
  ServerStatements server;
  TextPtr a = texts.find_or_add("a");
  EXPECT_EQ(server.find(a), nullptr);
  server.put(a, 7);
  ASSERT_NE(server.find(a), nullptr);
  EXPECT_EQ(*server.find(a), 7u);
  server.put(a, 8);
  EXPECT_EQ(*server.find(a), 8u);
  EXPECT_EQ(server.size(), 1u);
  server.remove(a);
  server.remove(a);
  EXPECT_EQ(server.find(a), nullptr);
  server.put(a, 9);
  server.clear();
  EXPECT_EQ(server.size(), 0u);
}

TEST(ServerStatements, KeepsTheTextsItHas) {
  StatementTexts texts;
  ServerStatements server;
  TextPtr a = texts.find_or_add("a");
  uint64_t id = a->id;
  server.put(a, 1);
  a.reset();
  EXPECT_EQ(texts.find_or_add("a")->id, id);
}

TEST(ServerStatements, TheLeastUsedIsTheSurplus) {
  StatementTexts texts;
  ServerStatements server;
  std::vector<TextPtr> all;
  for (size_t i = 0; i < ServerStatements::kMost; i++) {
    all.push_back(texts.find_or_add(std::to_string(i)));
    server.put(all.back(), i + 1);
  }
  EXPECT_EQ(server.take_surplus(), nullptr);
  server.find(all[0]);    // Looking is use,
  server.put(all[1], 5);  // and so is putting.
  server.put(texts.find_or_add("one more"), 1);
  EXPECT_EQ(server.take_surplus(), all[2]);
  EXPECT_EQ(server.find(all[2]), nullptr);
  EXPECT_EQ(server.take_surplus(), nullptr);
  EXPECT_EQ(server.size(), ServerStatements::kMost);
}

// ---- SQL that names one ----

struct Named {
  bool deallocates;
  std::string name;
  std::string spelled;
};

std::optional<Named> parse(std::string_view sql) {
  NamedStatementSql out;
  if (!parse_named_statement(sql, out)) return std::nullopt;
  return Named{out.deallocates, out.name,
               std::string(sql.substr(out.name_begin, out.name_end - out.name_begin))};
}

TEST(NamedStatement, IsFoundHoweverItIsSpelled) {
  struct Case {
    const char* sql;
    bool deallocates;
    const char* name;
    const char* spelled;
  };
  for (const Case& one : {Case{"DEALLOCATE a", true, "a", "a"},
                          {"deallocate Prepare Ab_1$", true, "ab_1$", "Ab_1$"},
                          {" \n\tDealLocate\r a ; ", true, "a", "a"},
                          {"DEALLOCATE \"a;\"\"B \"", true, "a;\"B ", "\"a;\"\"B \""},
                          {"DEALLOCATE\"a\"", true, "a", "\"a\""},
                          {"DEALLOCATE \"all\"", true, "all", "\"all\""},
                          {"DEALLOCATE \"\"", true, "", "\"\""},
                          {"DEALLOCATE alle", true, "alle", "alle"},
                          {"DEALLOCATE \xc3\xa9", true, "\xc3\xa9", "\xc3\xa9"},
                          {"EXECUTE n", false, "n", "n"},
                          {"EXECUTE n(1)", false, "n", "n"},
                          {"execute N (1, 'x'); SELECT 1", false, "n", "N"},
                          {"EXECUTE all", false, "all", "all"},
                          {"EXECUTE \"N\"(1)", false, "N", "\"N\""}}) {
    auto named = parse(one.sql);
    ASSERT_TRUE(named) << one.sql;
    EXPECT_EQ(named->deallocates, one.deallocates) << one.sql;
    EXPECT_EQ(named->name, one.name) << one.sql;
    EXPECT_EQ(named->spelled, one.spelled) << one.sql;
  }
}

TEST(NamedStatement, AllElseIsNone) {
  for (const char* sql :
       {"", " ", "SELECT 1", "d", "e", "DEALLOCATE", "DEALLOCATE ", "DEALLOCATE ALL",
        "deallocate prepare all;", "DEALLOCATE a; SELECT 1", "DEALLOCATE a b", "DEALLOCATE a;;",
        "DEALLOCATE \"a", "DEALLOCATE 1", "DEALLOCATE 'a'", "DEALLOCATE (a)", "DEALLOCATEa",
        "DEALLOCATED a", "EXECUTE", "EXECUTE 1", "EXECUTE \"a", "EXECUTED a", "EXPLAIN EXECUTE a",
        "DEALLOCATE PREPARE", "delete from deallocate",
        // Comments are not read.
        "/* x */ DEALLOCATE a", "DEALLOCATE /* x */ a", "DEALLOCATE a -- x", "-- x\nEXECUTE a"})
    EXPECT_FALSE(parse(sql)) << sql;
}

}  // namespace
}  // namespace halogen::proxy
