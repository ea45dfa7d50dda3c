#include "pageserver/page_service.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

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
    options.layer_cache = std::make_shared<LayerCache>(1 << 20);
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(10);
    TimelineStore::create(folder_ / "a", manifest);
    timeline_ = std::make_shared<Timeline>(Timeline::Parts{redo_, cache_, jobs_},
                                           std::make_shared<const TimelineStore::Options>(options),
                                           folder_ / "a", nullptr);
    for (uint32_t i = 0; i < 300; i++) put(20 + i, i, fmt::format("page {}", i));
    start({.connections = 50});
  }
  ~PageServiceTest() override {
    timeline_->store().cancel_waits();
    if (service_) service_->stop();
  }

  void start(PageSessions::Limits limits) {
    service_ = std::make_unique<PageService>(PageService::Options{folder_ / "socket", limits});
    token_ = service_->open_session(timeline_, 3, Lsn(15));
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
  net::Socket session() { return session(token_); }
  net::Socket session(const PageToken& token) {
    net::Socket socket = connect();
    EXPECT_EQ(greet(socket, {.token = token}).status, PageStatus::ok);
    return socket;
  }
  PageStatus knock(const PageToken& token) {
    net::Socket socket = connect();
    return greet(socket, {.token = token}).status;
  }
  // Whether a page can be read there.
  static bool reads(net::Socket& socket) {
    socket.send_all(request_bytes(7, 319, {{page(1), 1}}));
    return receive(socket).head.status == PageStatus::ok;
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
  EXPECT_TRUE(closed(socket));
  EXPECT_EQ(knock(token_), PageStatus::denied);
}

TEST_F(PageServiceTest, NoHalfOfATokenIsEnough) {
  for (size_t byte : {0u, 15u, 16u, 31u}) {
    PageToken forged = token_;
    forged.bytes[byte] ^= 1;
    EXPECT_EQ(knock(forged), PageStatus::denied) << byte;
  }
  EXPECT_EQ(knock({}), PageStatus::denied);
  EXPECT_EQ(knock(token_), PageStatus::ok);
}

TEST_F(PageServiceTest, ANewerTermEndsTheOldComputesReads) {
  net::Socket old = session();
  PageToken newer = service_->open_session(timeline_, 4, Lsn(20));
  EXPECT_TRUE(closed(old));
  EXPECT_EQ(knock(token_), PageStatus::denied);
  net::Socket now = session(newer);
  EXPECT_TRUE(reads(now));
  EXPECT_EQ(thrown_by([&] { service_->open_session(timeline_, 3, Lsn(15)); }), Errc::fenced);
  service_->close_session(newer);
  EXPECT_EQ(thrown_by([&] { service_->open_session(timeline_, 3, Lsn(15)); }), Errc::fenced);
}

// What follows: a hostile compute with token `token_`, and another one, which it must not hurt.
class PageServiceFloodTest : public PageServiceTest {
 protected:
  void begin(PageSessions::Limits limits) {
    service_.reset();
    start(limits);
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(10);
    TimelineStore::create(folder_ / "b", manifest);
    TimelineStore::Options options;
    options.layer_cache = std::make_shared<LayerCache>(1 << 20);
    other_ = std::make_shared<Timeline>(Timeline::Parts{redo_, cache_, jobs_},
                                        std::make_shared<const TimelineStore::Options>(options),
                                        folder_ / "b", nullptr);
    other_->store().advance(Lsn(319));
    others_ = service_->open_session(other_, 1, Lsn(15));
  }
  ~PageServiceFloodTest() override {
    if (other_) other_->store().cancel_waits();
  }

  std::shared_ptr<Timeline> other_;
  PageToken others_;
};

TEST_F(PageServiceFloodTest, WhoHasMostConnectionsGivesOneUp) {
  begin({.connections = 8, .connections_of_a_session = 7});
  std::vector<net::Socket> flood;
  for (int i = 0; i < 7; i++) flood.push_back(session());
  EXPECT_EQ(knock(token_), PageStatus::unavailable) << "has all that one session can have";
  EXPECT_TRUE(reads(flood[0]));
  std::vector<net::Socket> mine;
  for (int i = 0; i < 4; i++) {
    mine.push_back(session(others_));
    EXPECT_TRUE(reads(mine.back()));
  }
  EXPECT_TRUE(closed(flood[1])) << "the one that asked for nothing the longest";
  EXPECT_TRUE(reads(flood[0]));
  EXPECT_EQ(knock(others_), PageStatus::unavailable) << "both have half";
}

TEST_F(PageServiceFloodTest, TenThousandThatSayNothingKeepNobodyOut) {
  begin({});
  std::list<net::Socket> flood;
  for (int i = 0; i < 10'000; i++) {
    try {
      flood.push_back(connect());
    } catch (const Error&) {  // The queue is full for a moment.
    }
    if (flood.size() > 500) flood.pop_front();
    if (i % 1000 != 999) continue;
    net::Socket mine = session(others_);
    EXPECT_TRUE(reads(mine)) << "after " << i;
  }
}

TEST_F(PageServiceFloodTest, ReadsThatTakeLongTakeOnlyTheirOwnTurns) {
  begin({.session = {.reads = 2}});
  std::vector<net::Socket> flood;
  for (int i = 0; i < 30; i++) {
    flood.push_back(session());
    flood.back().send_all(request_bytes(1, 100'000, {{page(1), 1}}, 60'000));  // WAL is far off.
  }
  net::Socket mine = session(others_);
  EXPECT_TRUE(reads(mine));
  net::Socket late = session();
  late.send_all(request_bytes(1, 319, {{page(1), 1}}));
  EXPECT_FALSE(late.wait_readable(Deadline::after(std::chrono::milliseconds(100))))
      << "no turn of its own is left";
  EXPECT_LE(service_->threads(), 2u + 4u + 3u) << "those that queue have no thread";
  timeline_->store().advance(Lsn(100'000));
  for (net::Socket& socket : flood) EXPECT_EQ(receive(socket).head.status, PageStatus::ok);
  EXPECT_EQ(receive(late).head.status, PageStatus::ok);
}

// One that asks for ever without a pause gives its turn on after each answer.
TEST_F(PageServiceFloodTest, ConnectionsOfASessionTakeTurns) {
  begin({.session = {.reads = 1}});
  net::Socket greedy = session();
  std::string all;
  for (uint64_t id = 1; id <= 2000; id++) all += request_bytes(id, 319, {{page(1), 1}});
  std::thread sender([&] { greedy.send_all(all); });
  uint64_t last = 0;
  while (last < 10) last = receive(greedy).head.id;
  net::Socket modest = session();
  modest.send_all(request_bytes(1, 319, {{page(1), 1}}));
  std::thread taker([&] {
    while (last < 2000) last = receive(greedy).head.id;
  });
  EXPECT_EQ(receive(modest).head.status, PageStatus::ok);
  sender.join();
  taker.join();
  EXPECT_TRUE(reads(modest));
}

// An answer that does not fit is kept until there is room, and costs no turn meanwhile.
TEST_F(PageServiceFloodTest, AClientThatTakesNothingHoldsUpNoOther) {
  begin({.session = {.reads = 1, .lingering = 1}});
  net::Socket slow = session();
  for (uint64_t id = 1; id <= 3; id++) slow.send_all(request_bytes(id, 319, {{page(0), 256}}));
  std::byte first;
  slow.recv_exact({&first, 1}, soon());
  net::Socket quick = session();
  for (int i = 0; i < 20; i++) EXPECT_TRUE(reads(quick));
  std::string rest(3 * (sizeof(PageReply) + 256 * kPageSize) - 1, '\0');
  slow.recv_exact(std::as_writable_bytes(std::span(rest)), soon());
  EXPECT_EQ(page_text(rest.substr(rest.size() - kPageSize)), "page 255");
  EXPECT_TRUE(reads(slow));
}

TEST_F(PageServiceFloodTest, AnswersThatNobodyTakesAreBounded) {
  begin({.session = {.unread_bytes = 5u << 20}});
  std::vector<net::Socket> flood;
  for (int i = 0; i < 6; i++) {
    flood.push_back(session());
    flood.back().send_all(request_bytes(1, 319, {{page(0), 256}}));  // 2 MB.
    std::byte first;
    flood.back().recv_exact({&first, 1}, soon());  // It is on its way.
  }
  auto takes_all = [](net::Socket& socket) {
    std::string rest(sizeof(PageReply) - 1 + 256 * kPageSize, '\0');
    auto take = [&] { socket.recv_exact(std::as_writable_bytes(std::span(rest)), soon()); };
    return thrown_by(take) == Errc::internal;  // Nothing.
  };
  EXPECT_FALSE(takes_all(flood[0]));
  EXPECT_FALSE(takes_all(flood[3]));
  EXPECT_TRUE(takes_all(flood[4]));
  EXPECT_TRUE(takes_all(flood[5]));
  net::Socket mine = session(others_);
  EXPECT_TRUE(reads(mine));
}

size_t threads_of_this_process() {
  auto tasks = fs::directory_iterator("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

void allow_many_files() {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
}

// There is no number of connections at which the next one has to wait for ever.
class PageServiceCrowdTest : public PageServiceFloodTest {};

TEST_F(PageServiceCrowdTest, ConnectionsOfManyComputesTakeFewThreads) {
  constexpr size_t kComputes = 20;
  constexpr size_t kConnections = 100;
  allow_many_files();
  begin({});
  const size_t before = threads_of_this_process();
  std::vector<std::shared_ptr<Timeline>> timelines;
  std::vector<net::Socket> sockets;
  TimelineStore::Options options;
  options.layer_cache = std::make_shared<LayerCache>(1 << 20);
  for (size_t i = 0; i < kComputes; i++) {
    const fs::path folder = folder_ / fmt::format("crowd{}", i);
    Manifest manifest;
    manifest.timeline = TimelineId::random();
    manifest.start_lsn = manifest.disk_consistent_lsn = Lsn(319);
    TimelineStore::create(folder, manifest);
    timelines.push_back(std::make_shared<Timeline>(
        Timeline::Parts{redo_, cache_, jobs_},
        std::make_shared<const TimelineStore::Options>(options), folder, nullptr));
    const PageToken token = service_->open_session(timelines.back(), 1, Lsn(15));
    for (size_t j = 0; j < kConnections; j++) sockets.push_back(session(token));
  }
  EXPECT_EQ(service_->connections(), sockets.size());
  size_t most = 0;
  for (int round = 0; round < 3; round++) {
    for (net::Socket& socket : sockets) socket.send_all(request_bytes(7, 319, {{page(1), 4}}));
    most = std::max(most, threads_of_this_process());
    for (net::Socket& socket : sockets) ASSERT_EQ(receive(socket).head.status, PageStatus::ok);
  }
  const PageSession::Limits limits;
  EXPECT_LE(most, before + kComputes * (limits.reads + limits.lingering) + 10) << "all ask at once";
  const Deadline deadline = soon();
  while (threads_of_this_process() > before + 8 && !deadline.passed()) ::usleep(1000);
  EXPECT_LE(threads_of_this_process(), before + 8) << "all are idle";
  for (net::Socket& socket : sockets) ASSERT_TRUE(reads(socket)) << "after its rest";
  for (auto& timeline : timelines) timeline->store().cancel_waits();
  service_.reset();  // The timelines end after their reads.
}

TEST_F(PageServiceTest, WhoAsksWhereItsSessionHasLeftIsToldToAskAgain) {
  service_.reset();
  start({.session = {.patience = std::chrono::seconds(0)}});
  net::Socket socket = session(token_);
  auto status_at = [&](uint64_t lsn) {
    socket.send_all(request_bytes(1, lsn, {{page(1), 1}}));
    return receive(socket).head.status;
  };
  put(400, 1, "new");
  put(500, 2, "new");
  EXPECT_EQ(status_at(15), PageStatus::ok);
  EXPECT_EQ(service_->advance_session(token_), timeline_->store().last_record_lsn());
  EXPECT_EQ(status_at(15), PageStatus::unavailable);
  EXPECT_EQ(status_at(14), PageStatus::gone) << "it never was there";
  EXPECT_EQ(status_at(500), PageStatus::ok);
}

TEST_F(PageServiceTest, WhatASessionAskedBeforeItWentOnIsAnsweredForSomeTime) {
  put(400, 1, "new");
  put(500, 2, "new");
  service_->advance_session(token_);
  put(600, 3, "new");
  service_->advance_session(token_);
  net::Socket socket = session(token_);
  for (uint64_t lsn : {15, 500, 600}) {
    socket.send_all(request_bytes(1, lsn, {{page(1), 1}}));
    EXPECT_EQ(receive(socket).head.status, PageStatus::ok) << lsn;
  }
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
