#include "postgres/wire.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace halogen::wire {
namespace {

TEST(Wire, AMessageIsParsedOnlyWhenItIsComplete) {
  std::string out;
  put_query(out, "select 1");
  put_terminate(out);
  for (size_t size = 0; size < 14; ++size)
    EXPECT_FALSE(parse_message(as_bytes(out).first(size))) << size;
  std::optional<Message> message = parse_message(as_bytes(out));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, 'Q');
  EXPECT_EQ(as_text(message->body), std::string_view("select 1\0", 9));
  EXPECT_EQ(message->size, 14u);
  EXPECT_EQ(parse_message(as_bytes(out).subspan(14))->type, 'X');
}

TEST(Wire, ImpossibleLengthsAreCorrupt) {
  EXPECT_THROW(parse_message(as_bytes(std::string_view("Q\0\0\0\3", 5))), Error);
  EXPECT_THROW(parse_message(as_bytes("Q\x7f\xff\xff\xff")), Error);
  EXPECT_THROW(parse_startup(as_bytes(std::string_view("\0\0\0\7", 4))), Error);
  EXPECT_THROW(parse_startup(as_bytes(std::string_view("\0\1\0\0", 4))), Error);
}

TEST(Wire, StartupComesBackAsItWasBuilt) {
  std::string packet = startup_packet({{"user", "me"}, {"replication", "true"}, {"x", ""}});
  EXPECT_FALSE(parse_startup(as_bytes(packet).first(packet.size() - 1)));
  std::optional<Startup> startup = parse_startup(as_bytes(packet));
  ASSERT_TRUE(startup);
  EXPECT_EQ(startup->code, kProtocol3);
  EXPECT_EQ(startup->size, packet.size());
  EXPECT_EQ(startup->parameter("user"), "me");
  EXPECT_EQ(startup->parameter("replication"), "true");
  EXPECT_EQ(startup->parameter("none"), "");
  std::string cancel = cancel_request(17, 42);
  EXPECT_EQ(parse_startup(as_bytes(cancel))->cancel_pid, 17u);
  EXPECT_EQ(parse_startup(as_bytes(cancel))->cancel_key, 42u);
  std::string ssl = ssl_request();
  EXPECT_EQ(parse_startup(as_bytes(ssl))->code, kSslRequest);
}

TEST(Wire, StartupWithoutItsTerminatorsIsCorrupt) {
  std::string packet = startup_packet({{"user", "me"}});
  packet.pop_back();
  packet.pop_back();
  packet[3] = static_cast<char>(packet.size());
  EXPECT_THROW(parse_startup(as_bytes(packet)), Error);
}

TEST(Wire, ErrorAndRowsComeBackAsTheyWereBuilt) {
  std::string out;
  put_error(out, {.severity = "FATAL", .sqlstate = "28000", .message = "no", .hint = "ask"});
  ErrorFields fields = parse_error(parse_message(as_bytes(out))->body);
  EXPECT_EQ(fields.severity, "FATAL");
  EXPECT_EQ(fields.sqlstate, "28000");
  EXPECT_EQ(fields.message, "no");
  EXPECT_EQ(fields.detail, "");
  EXPECT_EQ(fields.hint, "ask");
  out.clear();
  put_data_row(out, {"a", std::nullopt, ""});
  Row row = parse_data_row(parse_message(as_bytes(out))->body);
  EXPECT_EQ(row, (Row{"a", std::nullopt, ""}));
  out.clear();
  Column columns[] = {{.name = "one"}, {.name = "two", .type = 23, .type_size = 4}};
  put_row_description(out, columns);
  EXPECT_EQ(parse_row_description(parse_message(as_bytes(out))->body),
            (std::vector<std::string>{"one", "two"}));
}

TEST(Wire, WalMessagesComeBackAsTheyWereBuilt) {
  std::string out;
  put_wal_header(out, Lsn(100), Lsn(200), 7, 3);
  EXPECT_EQ(out.size(), kWalHeaderSize);
  out += "abc";
  std::optional<Message> message = parse_message(as_bytes(out));
  ASSERT_TRUE(message);
  WalMessage wal = parse_wal_message(message->body);
  EXPECT_EQ(wal.kind, 'w');
  EXPECT_EQ(wal.start, Lsn(100));
  EXPECT_EQ(wal.end, Lsn(200));
  EXPECT_EQ(as_text(wal.data), "abc");
  out.clear();
  put_keepalive(out, Lsn(9), 1, true);
  wal = parse_wal_message(parse_message(as_bytes(out))->body);
  EXPECT_EQ(wal.kind, 'k');
  EXPECT_EQ(wal.end, Lsn(9));
  EXPECT_TRUE(wal.reply_requested);
  out.clear();
  put_standby_status(out, {.write = Lsn(3), .flush = Lsn(2), .apply = Lsn(1)});
  std::optional<StandbyStatus> status = parse_standby_message(parse_message(as_bytes(out))->body);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->write, Lsn(3));
  EXPECT_EQ(status->flush, Lsn(2));
  EXPECT_EQ(status->apply, Lsn(1));
  EXPECT_THROW(parse_wal_message(as_bytes("zzz")), Error);
  EXPECT_THROW(parse_wal_message(as_bytes("w12")), Error);
}

}  // namespace
}  // namespace halogen::wire
