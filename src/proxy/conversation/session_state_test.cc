// Reports of a session's state, and the statement that restores it.
#include "proxy/conversation/session_state.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::proxy {
namespace {

std::string quoted(const std::string& value) { return startup_items({{"n", value}}); }

TEST(SessionState, AFreshSessionHoldsNothing) {
  StatePtr state = parse_session_state("{}");
  EXPECT_EQ(state->restore, "");
  EXPECT_TRUE(state->listen.empty() && state->pins.empty());
  EXPECT_EQ(state->deallocations, 0u);
  EXPECT_FALSE(state->sequence_used);
  EXPECT_EQ(fresh_state()->restore, "");
}

TEST(SessionState, EveryMemberOfTheReport) {
  StatePtr state = parse_session_state(R"({
    "pins": ["temp_table", "unknown"], "sequence_used": true, "deallocations": 3,
    "prepared": [{"name": "p", "statement": "PREPARE p AS SELECT 'x'", "from_sql": true},
                 {"name": "q", "statement": "PREPARE q AS SELECT 2", "from_sql": true}],
    "listen": ["c d", "e"], "role": "none", "session_authorization": "s", "known": ["my.k"],
    "settings": {"search_path": "a, b", "work_mem": "4096"}, "something new": 1})");
  EXPECT_EQ(state->restore,
            ",E'setting',E'search_path',E'a, b',E'setting',E'work_mem',E'4096'"
            ",E'known',E'my.k',E'session_authorization',E's',E'role',E'none'"
            ",E'prepare',E'PREPARE p AS SELECT ''x''',E'prepare',E'PREPARE q AS SELECT 2'");
  EXPECT_EQ(state->listen, (std::vector<std::string>{"c d", "e"}));
  EXPECT_EQ(state->pins, (std::vector<std::string>{"temp_table", "unknown"}));
  EXPECT_EQ(state->deallocations, 3u);
  EXPECT_TRUE(state->sequence_used);
}

TEST(SessionState, TheSameStateIsTheSameText) {
  EXPECT_EQ(parse_session_state(R"({"settings": {"a": "1", "b": "2"}})")->restore,
            parse_session_state(R"({"settings": {"b": "2", "a": "1"}, "pins": []})")->restore);
}

TEST(SessionState, WhatIsNoReportIsCorrupt) {
  for (const char* text :
       {"", "{", "nothing", R"({"settings": {"a": 1}})", R"({"known": "a"})", R"({"known": [1]})",
        R"({"role": []})", R"({"prepared": [{}]})", R"({"prepared": [{"statement": 1}]})",
        R"({"prepared": 1})", R"({"listen": {"a": 1}})", R"({"deallocations": "x"})",
        R"({"sequence_used": "x"})", "[]", "1"}) {
    try {
      parse_session_state(text);
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt) << text;
    }
  }
}

TEST(SessionState, QuotesReadTheSameInEverySession) {
  EXPECT_EQ(quoted(""), ",E'startup',E'n',E''");
  EXPECT_EQ(quoted("it's \\n"), ",E'startup',E'n',E'it''s \\\\n'");
  EXPECT_EQ(quoted("'\\'"), ",E'startup',E'n',E'''\\\\'''");
  EXPECT_EQ(quoted("a\tb\n"), ",E'startup',E'n',E'a\tb\n'");
  EXPECT_EQ(quoted("\u00e9\u20ac"), ",E'startup',E'n',E'\\u00e9\\u20ac'");
  EXPECT_EQ(quoted("\U0001f418x"), ",E'startup',E'n',E'\\U0001f418x'");
  EXPECT_EQ(quoted("\U0010ffff"), ",E'startup',E'n',E'\\U0010ffff'");
  EXPECT_EQ(parse_session_state(R"({"role": "\u00e9'"})")->restore, ",E'role',E'\\u00e9'''");
}

TEST(SessionState, WhatIsNoUtf8IsRefused) {
  for (const char* bad :
       {"\x80", "\xff", "a\xc3", "\xc3(", "\xc0\xaf", "\xe2\x82", "\xe2(\xac", "\xed\xa0\x80",
        "\xf5\x80\x80\x80", "\xf4\x90\x80\x80", "\xf0\x9f\x90", "\xe0\x80\xaf", "\xf0\x80\x80\xaf"})
    EXPECT_THROW(quoted(bad), Error) << bad;
}

TEST(SessionState, TheStatementHasTheItemsInTheirOrder) {
  EXPECT_EQ(restore_statement("1.a", "", "", ""), "SET halogen.session TO E'1.a'");
  EXPECT_EQ(restore_statement("2.b", startup_items({{"a", "1"}, {"options", "-c x=y"}}),
                              ",E'role',E'r'", listen_items({"c", "it's"})),
            "SET halogen.session TO E'2.b',E'startup',E'a',E'1',E'startup',E'options',E'-c x=y',"
            "E'role',E'r',E'listen',E'c',E'listen',E'it''s'");
}

TEST(SessionState, WhatCountsWhenSqlIsParsedIsKnown) {
  StatePtr state = parse_session_state(R"({"settings": {
    "TimeZone": "UTC", "application_name": "x", "my.own": "1", "enable_seqscan": "off",
    "max_parallel_workers": "1", "jit": "on", "search_path": "s", "statement_timeout": "1"}})");
  EXPECT_EQ(state->parse_settings, ",E'TimeZone',E'UTC',E'search_path',E's'");
  EXPECT_EQ(parse_items_of(R"({"DateStyle": "ISO", "work_mem": "1"})"), ",E'DateStyle',E'ISO'");
  EXPECT_THROW(parse_items_of("{"), Error);
}

TEST(SessionState, AStatementBySqlKeepsTheSettingsItWasMadeUnder) {
  StatePtr state = parse_session_state(R"({"prepared": [
    {"name": "p", "statement": "PREPARE p AS SELECT 1", "settings": {"TimeZone": "UTC"}},
    {"name": "q", "statement": "PREPARE q AS SELECT 2"}]})");
  EXPECT_EQ(state->restore,
            ",E'under',E'TimeZone',E'UTC',E'prepare',E'PREPARE p AS SELECT 1'"
            ",E'prepare',E'PREPARE q AS SELECT 2'");
  EXPECT_TRUE(state->has_prepared("p"));
  StatePtr rest = without_prepared(*state, "p");
  EXPECT_EQ(rest->restore, ",E'prepare',E'PREPARE q AS SELECT 2'");
  EXPECT_FALSE(rest->has_prepared("p"));
}

}  // namespace
}  // namespace halogen::proxy
