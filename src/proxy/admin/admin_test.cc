// The admin view without sockets: rows for commands, the protocol, the metrics made of the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "proxy/admin/admin.h"
#include "proxy/session/pooler_metrics.h"

namespace halogen::proxy {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

PoolerStatus status_of_three() {
  PoolerStatus status;
  status.endpoint = "ep-a";
  status.wakes = 2;
  PoolerPool& pool = pool_row(status, "shop", "alice", PoolMode::transaction);
  pool.clients[static_cast<size_t>(ClientState::parked)] = 2;
  pool.clients[static_cast<size_t>(ClientState::pinned)] = 1;
  pool.clients[static_cast<size_t>(ClientState::waiting)] = 1;
  pool.pinned_by["temporary table"] = 1;
  pool.servers_used = 1;
  pool.longest_wait = std::chrono::microseconds(2'500'000);
  PoolerTotals& totals = status.totals["shop"];
  totals.queries = 7;
  totals.add_request(std::chrono::microseconds(50));
  totals.add_request(std::chrono::milliseconds(2));
  totals.add_request(std::chrono::minutes(2));
  return status;
}

std::string value(const AdminAnswer& answer, std::string_view column, size_t row = 0) {
  for (size_t i = 0; i < answer.columns.size(); i++)
    if (answer.columns[i].name == column) return answer.rows.at(row)[i].value_or("null");
  return "no such column";
}

std::string message(char type, std::string_view body) {
  std::string out;
  wire::put_message(out, type, body);
  return out;
}

std::string types(std::string_view bytes) {
  std::string all;
  while (auto one = wire::parse_message(as_bytes(bytes))) {
    all.push_back(one->type);
    bytes.remove_prefix(one->size);
  }
  return all;
}

using namespace std::string_view_literals;

TEST(Admin, PoolsCountClientsByWhatTheyDo) {
  AdminAnswer answer = answer_admin("  SHOW\n pools ", status_of_three(), "app");
  ASSERT_EQ(answer.rows.size(), 1);
  EXPECT_EQ(value(answer, "cl_active"), "3");
  EXPECT_EQ(value(answer, "cl_waiting"), "1");
  EXPECT_EQ(value(answer, "sv_active"), "1");
  EXPECT_EQ(value(answer, "maxwait"), "2");
  EXPECT_EQ(value(answer, "maxwait_us"), "500000");
  EXPECT_EQ(value(answer, "parked"), "2");
  EXPECT_EQ(value(answer, "pinned_by"), "temporary table: 1");
}

TEST(Admin, EveryShowHasColumnsWhereThereIsNothing) {
  for (const char* what :
       {"pools", "clients", "servers", "stats", "lists", "databases", "config"}) {
    AdminAnswer answer = answer_admin(fmt::format("show {}", what), {}, "app");
    EXPECT_FALSE(answer.error) << what;
    EXPECT_FALSE(answer.columns.empty()) << what;
    for (const wire::Row& row : answer.rows) EXPECT_EQ(row.size(), answer.columns.size()) << what;
  }
}

TEST(Admin, UnknownCommandsAreErrorsWithAHint) {
  for (const char* command : {"show", "show x", "select 1", "shutdown", "show pools x"}) {
    AdminAnswer answer = answer_admin(command, {}, "app");
    ASSERT_TRUE(answer.error) << command;
    EXPECT_EQ(answer.error->sqlstate, "42601");
    EXPECT_THAT(answer.error->hint, HasSubstr("SHOW HELP"));
  }
}

TEST(Admin, KillEndsAClientOfOnesOwnRoleOnly) {
  PoolerStatus status;
  status.clients = {{.role = "app", .id = 0xab}, {.role = "other", .id = 0xcd}};
  EXPECT_EQ(answer_admin("KILL ab", status, "app").ends, 0xabu);
  EXPECT_EQ(answer_admin("kill_client AB", status, "app").ends, 0xabu);
  EXPECT_EQ(answer_admin("kill cd", status, "app").error->sqlstate, "42501");
  for (const char* command : {"kill ef", "kill ab cd", "kill 0xab"})
    EXPECT_EQ(answer_admin(command, status, "app").error->sqlstate, "42704") << command;
  AdminConversation conversation("app");
  std::string out;
  conversation.take(message('Q', "kill ab; kill cd\0"sv), status, out);
  EXPECT_EQ(types(out), "CEZ");
  EXPECT_EQ(conversation.take_endings(), std::vector<uint64_t>{0xab});
  EXPECT_THAT(conversation.take_endings(), IsEmpty());
}

TEST(AdminConversation, SeveralCommandsInOneQuery) {
  AdminConversation conversation("app");
  std::string out;
  std::string in = message('Q', "show pools; show nothing; show pools;\0"sv);
  EXPECT_EQ(conversation.take(in, status_of_three(), out), in.size());
  EXPECT_EQ(types(out), "TDCEZ");
  out.clear();
  conversation.take(message('Q', " ; \0"sv), {}, out);
  EXPECT_EQ(types(out), "IZ");
}

TEST(AdminConversation, ExtendedQueryWithBinaryNumbers) {
  AdminConversation conversation("app");
  std::string in = message('P', "s\0show pools;\0\0\0"sv) + message('D', "Ss\0"sv) +
                   message('B', "\0s\0\0\0\0\0\0\1\0\1"sv) + message('E', "\0\0\0\0\0"sv) +
                   message('S', "");
  std::string out;
  // Half of it first.
  size_t used = conversation.take(std::string_view(in).substr(0, 20), status_of_three(), out);
  conversation.take(std::string_view(in).substr(used), status_of_three(), out);
  EXPECT_EQ(types(out), "1tT2DCZ");
  EXPECT_THAT(out, HasSubstr("\0\0\0\4\0\0\0\3"sv)) << "cl_active = 3, four bytes";
}

TEST(AdminConversation, AfterAnErrorAllIsSkippedUntilSync) {
  AdminConversation conversation("app");
  std::string out;
  conversation.take(message('B', "\0none\0\0\0\0\0\0\0"sv) + message('E', "\0\0\0\0\0"sv) +
                        message('S', "") + message('P', "\0show version\0\0\0"sv) +
                        message('S', ""),
                    {}, out);
  EXPECT_EQ(types(out), "EZ1Z");
}

TEST(AdminConversation, ParametersAreRefused) {
  AdminConversation conversation("app");
  std::string out;
  conversation.take(message('P', "\0show pools\0\0\0"sv) +
                        message('B', "\0\0\0\0\0\1\0\0\0\1x\0\0"sv) + message('S', ""),
                    {}, out);
  EXPECT_EQ(types(out), "1EZ");
}

TEST(AdminConversation, BytesThatAreNoProtocolAreCorrupt) {
  for (std::string bytes : {message('?', ""), message('Q', "not ended"), message('D', ""),
                            message('P', "\0show pools\0\0\0"sv) + message('B', "\0\0\xff\xff"sv),
                            std::string("Q\xff\xff\xff\xff", 5)}) {
    AdminConversation conversation("app");
    std::string out;
    EXPECT_THROW(conversation.take(bytes, {}, out), Error);
  }
}

TEST(PoolerMetrics, OnlyWhatThereIs) {
  EXPECT_THAT(pooler_metrics({}).front().series, IsEmpty());
  for (const metrics::Family& family : pooler_metrics({{"ep-a", status_of_three()}})) {
    for (const metrics::Series& series : family.series)
      EXPECT_THAT(series.labels, Contains(std::pair("endpoint", "ep-a"))) << family.name;
    if (family.name == "halogen_pooler_pinned") EXPECT_EQ(family.series.size(), 1);
    if (family.kind != metrics::Family::Kind::histogram) continue;
    EXPECT_EQ(family.series[0].count, 3);
    EXPECT_EQ(family.series[0].buckets[0], 1);
    EXPECT_EQ(family.series[0].buckets[3], 1);
    EXPECT_NEAR(family.series[0].sum, 120.00205, 1e-6);
  }
}

TEST(PoolerMetrics, ASourceIsToldWhileItIsRegistered) {
  auto source = [] { return pooler_metrics({{"ep-told", status_of_three()}}); };
  {
    metrics::Registration registration(source);
    EXPECT_THAT(
        metrics::render(),
        HasSubstr("halogen_pooler_request_seconds_bucket{endpoint=\"ep-told\",le=\"0.003\"} 2"));
  }
  EXPECT_THAT(metrics::render(), Not(HasSubstr("ep-told")));
}

}  // namespace
}  // namespace halogen::proxy
