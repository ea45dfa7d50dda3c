#include "pageserver/page_service.h"

#include <gtest/gtest.h>

#include "pageserver/fake_redo.h"

namespace halogen::pageserver {
namespace {

constexpr PageKey page(uint32_t block) {
  return {RelTag::relation(1663, 5, 100, Fork::main), block};
}

std::string request_bytes(uint64_t id, uint64_t lsn, std::vector<PageRange> ranges,
                          uint32_t deadline_ms = 5000) {
  Writer out;
  out.put(PageRequest{id, lsn, deadline_ms, static_cast<uint32_t>(ranges.size())});
  for (const PageRange& range : ranges) out.put(range);
  return out.take();
}

class PageServiceTest : public ::testing::Test {
 protected:
  PageServiceTest() {
    TimelineStore::Options options;
    options.block_cache = std::make_shared<BlockCache>(1 << 20);
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(10);
    TimelineStore::create(folder_ / "a", manifest);
    timeline_ = std::make_shared<Timeline>(Timeline::Parts{redo_, cache_, jobs_}, options,
                                           folder_ / "a", nullptr);
    for (uint32_t i = 0; i < 300; i++) put(20 + i, i, fmt::format("page {}", i));
    service_ = std::make_unique<PageService>(PageService::Options{folder_ / "socket", 50});
    token_ = service_->open_session(timeline_, Lsn(15));
  }
  ~PageServiceTest() override {
    timeline_->store().cancel_waits();
    service_->stop();
  }

  void put(uint64_t lsn, uint32_t block, const std::string& text) {
    Put one = make_put(Key::page(page(block)), ValueKind::record_init, text);
    timeline_->store().put(Lsn(lsn), {&one, 1});
    timeline_->store().advance(Lsn(lsn));
  }
  net::Socket connect() { return net::connect_unix(service_->socket(), soon()); }
  PageHelloReply greet(net::Socket& socket, PageHello hello) {
    socket.send_all(Writer().put(hello).view());
    PageHelloReply reply;
    socket.recv_exact(std::as_writable_bytes(std::span(&reply, 1)), soon());
    return reply;
  }
  net::Socket session() {
    net::Socket socket = connect();
    EXPECT_EQ(greet(socket, {.token = token_}).status, PageStatus::ok);
    return socket;
  }
  struct Answer {
    PageReply head;
    std::string body;
    std::string text(size_t page) const {
      return page_text(body.substr(page * kPageSize, kPageSize));
    }
  };
  static Answer receive(net::Socket& socket) {
    Answer answer;
    socket.recv_exact(std::as_writable_bytes(std::span(&answer.head, 1)), soon());
    answer.body.resize(answer.head.body);
    socket.recv_exact(std::as_writable_bytes(std::span(answer.body)), soon());
    return answer;
  }
  static bool closed(net::Socket& socket) {
    std::byte byte;
    return thrown_by([&] { socket.recv_some({&byte, 1}, soon()); }) == Errc::unavailable;
  }

  TempFolder folder_;
  FakeRedo redo_;
  PageCache cache_{1 << 20};
  JobPool jobs_{1};
  std::shared_ptr<Timeline> timeline_;
  std::unique_ptr<PageService> service_;
  PageToken token_;
};

TEST_F(PageServiceTest, AnswersPipelinedRequestsInOrder) {
  net::Socket socket = session();
  std::string all;
  for (uint64_t id = 1; id <= 50; id++)
    all += request_bytes(id, 319, {{page(static_cast<uint32_t>(id)), 2}, {page(200), 1}});
  // In pieces that cut requests anywhere.
  for (size_t at = 0; at < all.size(); at += 1000)
    socket.send_all(std::string_view(all).substr(at, 1000));
  for (uint64_t id = 1; id <= 50; id++) {
    Answer answer = receive(socket);
    ASSERT_EQ(answer.head.id, id);
    ASSERT_EQ(answer.head.status, PageStatus::ok);
    ASSERT_EQ(answer.body.size(), 3 * kPageSize);
    EXPECT_EQ(answer.text(0), fmt::format("page {}", id));
    EXPECT_EQ(answer.text(1), fmt::format("page {}", id + 1));
    EXPECT_EQ(answer.text(2), "page 200");
  }
  socket.send_all(request_bytes(99, 319, {{page(0), 256}}));
  Answer answer = receive(socket);
  ASSERT_EQ(answer.body.size(), 256 * kPageSize);
  EXPECT_EQ(answer.text(255), "page 255");
}

TEST_F(PageServiceTest, RefusesStrangers) {
  net::Socket socket = connect();
  EXPECT_EQ(greet(socket, {}).status, PageStatus::denied) << "no such token";
  EXPECT_TRUE(closed(socket));
  socket = connect();
  EXPECT_EQ(greet(socket, {.version = 2, .token = token_}).status, PageStatus::denied);
  EXPECT_TRUE(closed(socket));
  socket = connect();
  EXPECT_EQ(greet(socket, {.magic = 1, .token = token_}).status, PageStatus::bad_request);
  EXPECT_TRUE(closed(socket));
}

TEST_F(PageServiceTest, AClosedSessionReadsNothingMore) {
  net::Socket socket = session();
  EXPECT_EQ(service_->sessions(timeline_->id()), 1u);
  service_->close_session(token_);
  service_->close_session(token_);
  EXPECT_EQ(service_->sessions(timeline_->id()), 0u);
  socket.send_all(request_bytes(1, 100, {{page(1), 1}}));
  EXPECT_EQ(receive(socket).head.status, PageStatus::denied);
  EXPECT_TRUE(closed(socket));
  socket = connect();
  EXPECT_EQ(greet(socket, {.token = token_}).status, PageStatus::denied);
}

TEST_F(PageServiceTest, ErrorsHaveAStatusAndATextAndTheConnectionGoesOn) {
  net::Socket socket = session();
  socket.send_all(request_bytes(1, 14, {{page(1), 1}}));
  Answer answer = receive(socket);
  EXPECT_EQ(answer.head.status, PageStatus::gone) << "before the session's LSN";
  EXPECT_EQ(answer.head.id, 1u);
  EXPECT_NE(answer.body.find("0/F"), std::string::npos) << answer.body;
  socket.send_all(request_bytes(2, 10000, {{page(1), 1}}, 30));
  EXPECT_EQ(receive(socket).head.status, PageStatus::timed_out);
  put(400, 299, "bad");
  socket.send_all(request_bytes(3, 400, {{page(299), 1}}));
  EXPECT_EQ(receive(socket).head.status, PageStatus::corrupt);
  socket.send_all(request_bytes(4, 400, {{page(1), 1}}));
  answer = receive(socket);
  EXPECT_EQ(answer.head.status, PageStatus::ok);
  EXPECT_EQ(answer.text(0), "page 1");
}

TEST_F(PageServiceTest, MalformedRequestsCloseTheirConnectionOnly) {
  PageRange unused{page(1), 1}, fork{page(1), 1}, kind{page(1), 1}, slru{page(1), 1};
  unused.first.tag.unused = 1;
  fork.first.tag.fork = 4;
  kind.first.tag.kind = static_cast<PageKind>(2);
  slru.first.tag.kind = PageKind::slru;
  std::vector<std::string> bad = {
      request_bytes(7, 100, {}),
      request_bytes(7, 100, std::vector<PageRange>(65, {page(1), 1})),
      request_bytes(7, 0, {{page(1), 1}}),
      request_bytes(7, 100, {{page(1), 0}}),
      request_bytes(7, 100, {{page(1), 257}}),
      request_bytes(7, 100, {{page(1), 200}, {page(1), 57}}),
      request_bytes(7, 100, {{page(1), UINT32_MAX}}),
      request_bytes(7, 100, {{page(UINT32_MAX), 1}}),
      request_bytes(7, 100, {unused}),
      request_bytes(7, 100, {fork}),
      request_bytes(7, 100, {kind}),
      request_bytes(7, 100, {slru}),
  };
  net::Socket good = session();
  for (size_t i = 0; i < bad.size(); i++) {
    net::Socket socket = session();
    socket.send_all(bad[i]);
    Answer answer = receive(socket);
    EXPECT_EQ(answer.head.status, PageStatus::bad_request) << i;
    EXPECT_EQ(answer.head.id, 7u) << i;
    EXPECT_TRUE(closed(socket)) << i;
  }
  good.send_all(request_bytes(8, 100, {{page(1), 1}}));
  EXPECT_EQ(receive(good).head.status, PageStatus::ok);
}

TEST_F(PageServiceTest, WaitsForTheLsnToArrive) {
  net::Socket socket = session();
  socket.send_all(request_bytes(1, 500, {{page(1), 1}}));
  ::usleep(20000);
  put(500, 1, "new");
  EXPECT_EQ(receive(socket).text(0), "new");
}

TEST_F(PageServiceTest, ABootIsRememberedForTheNext) {
  net::Socket socket = session();
  socket.send_all(request_bytes(1, 319, {{page(5), 1}, {page(9), 2}, {page(5), 1}}));
  EXPECT_EQ(receive(socket).head.status, PageStatus::ok);
  EXPECT_TRUE(timeline_->hot_page_keys().empty()) << "the boot is not over";
  service_->close_session(token_);
  EXPECT_EQ(timeline_->hot_page_keys(), (std::vector{page(5), page(9), page(10)}));
}

TEST_F(PageServiceTest, StopEndsConnectionsThatWait) {
  net::Socket socket = session();
  socket.send_all(request_bytes(1, 100000, {{page(1), 1}}, 60000));
  ::usleep(20000);
  timeline_->store().cancel_waits();
  service_->stop();
  EXPECT_TRUE(thrown_by([&] {
                receive(socket);
                receive(socket);
              }) == Errc::unavailable);
}

}  // namespace
}  // namespace halogen::pageserver
