// What the pool promises, on hand-made records. Real WAL is in redo_server_test.cc.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <fstream>
#include <thread>

#include "pageserver/redo/redo_pool.h"
#include "pageserver/redo/redo_request.h"
#include "pageserver/redo/redo_test_env.h"
#include "pageserver/redo/redo_test_records.h"
#include "protocol/redo_protocol.h"

namespace halogen::pageserver {
namespace {

using namespace std::chrono_literals;
using testing::full_page_image;
using testing::heap_insert;
using testing::TestFolder;

const PageKey kHeap{RelTag::relation(1663, 5, 16384, Fork::main), 3};

Deadline soon() { return Deadline::after(20s); }

uint16_t line_pointers(std::string_view page) {
  return static_cast<uint16_t>((load<uint16_t>(page.data() + 12) - 24) / 4);
}
uint64_t lsn_of(std::string_view page) {
  return uint64_t{load<uint32_t>(page.data())} << 32 | load<uint32_t>(page.data() + 4);
}

template <typename F>
Errc code_of(F&& call, std::string* text = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (text) *text = error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Errc::internal;
}

// A chain that owns its records.
struct Chain {
  std::vector<std::string> bytes;
  std::vector<RedoRecord> records;

  void add(uint64_t end, std::string record) {
    bytes.push_back(std::move(record));
    records.push_back({Lsn(end), {}});
    for (size_t i = 0; i < bytes.size(); ++i) records[i].record = as_bytes(bytes[i]);
  }
};

Chain inserts(const PageKey& key, int count, int first = 1, bool init = true) {
  Chain chain;
  for (int i = first; i < first + count; ++i)
    chain.add(static_cast<uint64_t>(1000 + i),
              heap_insert(key, static_cast<uint16_t>(i), init && i == first, "row"));
  return chain;
}

class RedoReplay : public ::testing::Test {
 protected:
  std::string replay(const Chain& chain, std::optional<Bytes> base = {}) {
    return pool_.replay(kHeap, base, chain.records, soon());
  }
  std::vector<pid_t> wait_idle(size_t count) {
    for (int i = 0; i < 500 && pool_.idle_pids().size() < count; ++i)
      std::this_thread::sleep_for(10ms);
    return pool_.idle_pids();
  }

  TestFolder folder_;
  RedoPool pool_{folder_.pool_options()};
};

TEST_F(RedoReplay, MakesAPageFromNothing) {
  std::string page = replay(inserts(kHeap, 5));
  ASSERT_EQ(page.size(), kPageSize);
  EXPECT_EQ(line_pointers(page), 5);
  EXPECT_EQ(lsn_of(page), 1005u);  // Stamped with the last record's end.
}

TEST_F(RedoReplay, GoesOnFromABase) {
  std::string base = replay(inserts(kHeap, 5));
  std::string page = replay(inserts(kHeap, 5, 6, false), as_bytes(base));
  EXPECT_EQ(page, replay(inserts(kHeap, 10)));
}

TEST_F(RedoReplay, AChainLargerThanARequestIsReplayedInSteps) {
  Chain chain;
  std::string image = replay(inserts(kHeap, 7));
  for (uint64_t i = 0; i < 1200; ++i) chain.add(2000 + i, full_page_image(kHeap, image));
  std::string page = replay(chain);
  EXPECT_EQ(line_pointers(page), 7);
  EXPECT_EQ(lsn_of(page), 3199u);
}

// What other pages a record makes or restores, redo leaves in buffers. They must not push the page
// out: it was then read as zeros, and the chain was refused, or worse, went on from them.
TEST_F(RedoReplay, RecordsMayTouchMorePagesThanThereAreBuffers) {
  std::string expected = replay(inserts(kHeap, 40));
  Chain chain;
  for (uint16_t i = 0; i < 1000; ++i) {
    auto offset = static_cast<uint16_t>(kPageSize - 1 - i);
    chain.add(2000 + i,
              testing::change_with_other_image(kHeap, offset, 0x5a, PageKey{kHeap.tag, 100u + i}));
  }
  std::string page = replay(chain, as_bytes(expected));
  EXPECT_EQ(lsn_of(page), 2999u);
  std::fill(expected.end() - 1000, expected.end(), '\x5a');
  EXPECT_EQ(page.substr(8), expected.substr(8));
}

TEST_F(RedoReplay, AMissingBaseIsAnErrorNotAZeroPage) {
  std::string text;
  Chain chain = inserts(kHeap, 1, 6, false);
  EXPECT_EQ(code_of([&] { replay(chain); }, &text), Errc::corrupt);
  EXPECT_NE(text.find("need a page to start from"), std::string::npos) << text;
  EXPECT_EQ(line_pointers(replay(inserts(kHeap, 2))), 2);
}

TEST_F(RedoReplay, GarbageIsCorruptAndThePoolGoesOn) {
  Chain damaged = inserts(kHeap, 2);
  damaged.bytes[1][40] ^= 1;
  EXPECT_EQ(code_of([&] { replay(damaged); }), Errc::corrupt);

  Chain noise;
  noise.add(2000, std::string(200, '\x5a'));
  EXPECT_EQ(code_of([&] { replay(noise); }), Errc::corrupt);

  Chain tiny;
  tiny.add(2000, "x");
  EXPECT_EQ(code_of([&] { replay(tiny); }), Errc::corrupt);
  EXPECT_EQ(line_pointers(replay(inserts(kHeap, 2))), 2);
}

// Right checksums, wrong content: Postgres itself must refuse it, by ERROR or by PANIC.
TEST_F(RedoReplay, ARecordThatPostgresRefusesIsCorruptAndThePoolGoesOn) {
  std::string base = replay(inserts(kHeap, 2));
  Chain gap;
  gap.add(2000, heap_insert(kHeap, 77, false, "no such line pointer"));
  EXPECT_EQ(code_of([&] { replay(gap, as_bytes(base)); }), Errc::corrupt);
  EXPECT_EQ(line_pointers(replay(inserts(kHeap, 2))), 2);
}

TEST_F(RedoReplay, OnlyRecordsOfPagesAreRun) {
  Chain commit;
  std::string main_data(8, '\0');
  commit.add(2000,
             testing::make_record(1, 0x00, testing::block_header(kHeap, 0, 0), "", main_data));
  std::string text;
  EXPECT_EQ(code_of([&] { replay(commit); }, &text), Errc::corrupt);
  EXPECT_NE(text.find("changes no relation page"), std::string::npos) << text;
}

TEST_F(RedoReplay, ARecordOfAnotherPageIsRefused) {
  Chain chain = inserts(PageKey{kHeap.tag, 4}, 1);
  EXPECT_EQ(code_of([&] { replay(chain); }), Errc::corrupt);
}

TEST_F(RedoReplay, RecordsOutOfOrderAreCorrupt) {
  Chain chain = inserts(kHeap, 2);
  std::swap(chain.records[0].end, chain.records[1].end);
  EXPECT_EQ(code_of([&] { replay(chain); }), Errc::corrupt);
  std::string base = replay(inserts(kHeap, 5));
  EXPECT_EQ(code_of([&] { replay(inserts(kHeap, 1, 3, false), as_bytes(base)); }), Errc::corrupt);
}

TEST_F(RedoReplay, PagesOfSlrusAreNotRedosBusiness) {
  Chain chain = inserts(kHeap, 1);
  auto call = [&] {
    (void)pool_.replay(PageKey{RelTag::slru(Slru::xact), 0}, {}, chain.records, soon());
  };
  EXPECT_EQ(code_of(call), Errc::invalid_argument);
}

TEST_F(RedoReplay, AKilledProcessIsSurvived) {
  for (int round = 0; round < 3; ++round) {
    auto pids = wait_idle(1);
    ASSERT_FALSE(pids.empty());
    for (pid_t pid : pids) kill(pid, SIGKILL);
    EXPECT_EQ(line_pointers(replay(inserts(kHeap, 4))), 4);
  }
}

TEST_F(RedoReplay, AStuckProcessMeetsTheDeadlineAndIsReplaced) {
  auto pids = wait_idle(1);
  for (pid_t pid : pids) kill(pid, SIGSTOP);
  Chain chain = inserts(kHeap, 4);
  auto call = [&] { (void)pool_.replay(kHeap, {}, chain.records, Deadline::after(200ms)); };
  EXPECT_EQ(code_of(call), Errc::timed_out);
  for (pid_t pid : pids) kill(pid, SIGKILL);  // Whichever was not used.
  EXPECT_EQ(line_pointers(replay(chain)), 4);
}

TEST_F(RedoReplay, ServesManyThreads) {
  std::vector<std::thread> threads;
  std::string expected = replay(inserts(kHeap, 20));
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i)
        if (replay(inserts(kHeap, 20)) == expected) ++right;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 800);
}

TEST_F(RedoReplay, ManyRelationsPassThroughOneProcess) {
  for (uint32_t rel = 0; rel < 3000; ++rel) {
    PageKey key{RelTag::relation(1663, 5, 20000 + rel, Fork::main), rel * 131071};
    Chain chain = inserts(key, 2);
    ASSERT_EQ(line_pointers(pool_.replay(key, {}, chain.records, soon())), 2);
  }
}

TEST_F(RedoReplay, LeavesNoFilesBehindOnceReady) {
  wait_idle(1);
  EXPECT_TRUE(fs::is_empty(folder_.scratch()));
}

TEST(RedoPool, RemovesLeftoversOfAnEarlierRun) {
  TestFolder folder;
  fs::create_directories(folder.scratch() / "redo-7" / "global");
  RedoPool pool(folder.pool_options());
  EXPECT_FALSE(fs::exists(folder.scratch() / "redo-7"));
}

TEST(RedoPool, AServerThatCannotStartIsUnavailableAndSaysWhy) {
  TestFolder folder;
  auto options = folder.pool_options();
  options.process.extension = "/nowhere/halogen.so";
  RedoPool pool(options);
  Chain chain = inserts(kHeap, 1);
  std::string text;
  EXPECT_EQ(code_of([&] { (void)pool.replay(kHeap, {}, chain.records, soon()); }, &text),
            Errc::unavailable);
  EXPECT_NE(text.find("/nowhere/halogen.so"), std::string::npos) << text;
}

// `corrupt` would be taken for final.
TEST(RedoPool, WhatTookTooLongIsTriedAgainByAnotherProcess) {
  TestFolder folder;
  auto options = folder.pool_options();
  options.request_timeout = 2s;
  RedoPool pool(options);
  Chain chain = inserts(kHeap, 1);
  TenantId tenant = TenantId::random();
  auto replay = [&] { return pool.of(tenant).replay(kHeap, {}, chain.records, soon()); };
  const std::string page = replay();
  for (pid_t pid : pool.idle_pids(tenant)) ::kill(pid, SIGSTOP);
  EXPECT_EQ(replay(), page);
}

// Already this chain is too long for the buffers that a process starts with.
TEST(RedoPool, WantOfMemoryIsNoCorruption) {
  TestFolder folder;
  Chain chain;
  for (uint64_t i = 0; i < 100; ++i)
    chain.add(2000 + i, full_page_image(kHeap, std::string(kPageSize, '\x01')));
  auto options = folder.pool_options();
  options.process.memory_limit = 1;
  {
    RedoPool pool(options);
    std::string text;
    EXPECT_EQ(code_of([&] { (void)pool.replay(kHeap, {}, chain.records, soon()); }, &text),
              Errc::unavailable);
    EXPECT_NE(text.find("out of memory"), std::string::npos) << text;
  }
  RedoPool pool(folder.pool_options());
  EXPECT_EQ(lsn_of(pool.replay(kHeap, {}, chain.records, soon())), 2099u);
}

TEST(RedoPool, AProcessServesOneTenantAndMakesRoomForOthers) {
  TestFolder folder;
  auto options = folder.pool_options();
  options.max_processes = 2;
  RedoPool pool(options);
  Chain chain = inserts(kHeap, 3);
  std::map<pid_t, TenantId> served;
  std::vector<TenantId> tenants;
  for (int i = 0; i < 5; ++i) tenants.push_back(TenantId::random());
  for (int round = 0; round < 3; ++round)
    for (TenantId tenant : tenants) {
      (void)pool.of(tenant).replay(kHeap, {}, chain.records, soon());
      std::vector<pid_t> used = pool.idle_pids(tenant);
      ASSERT_EQ(used.size(), 1u);
      auto [known, fresh] = served.emplace(used.front(), tenant);
      EXPECT_EQ(known->second, tenant) << "a process went on to another tenant";
    }
  EXPECT_GT(served.size(), tenants.size()) << "room was made";
}

TEST(RedoPool, ATenantKeepsItsProcess) {
  TestFolder folder;
  RedoPool pool(folder.pool_options());
  Chain chain = inserts(kHeap, 3);
  TenantId tenant = TenantId::random();
  (void)pool.of(tenant).replay(kHeap, {}, chain.records, soon());
  std::vector<pid_t> first = pool.idle_pids(tenant);
  for (int i = 0; i < 20; ++i) (void)pool.of(tenant).replay(kHeap, {}, chain.records, soon());
  EXPECT_EQ(first.size(), 1u);
  EXPECT_EQ(pool.idle_pids(tenant), first);
}

TEST(RedoPool, IdleProcessesEndButOne) {
  TestFolder folder;
  auto options = folder.pool_options();
  options.idle_timeout = 50ms;
  RedoPool pool(options);
  Chain chain = inserts(kHeap, 30);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) (void)pool.replay(kHeap, {}, chain.records, soon());
    });
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 300 && pool.idle_pids().size() != 1; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(pool.idle_pids().size(), 1u);
}

TEST(RedoPool, WithoutWorkInSightNoProcessIsKept) {
  TestFolder folder;
  auto options = folder.pool_options();
  options.idle_timeout = 50ms;
  RedoPool pool(options);
  auto comes_to = [&](size_t count) {
    for (int i = 0; i < 500 && pool.idle_pids().size() != count; ++i)
      std::this_thread::sleep_for(10ms);
    return pool.idle_pids().size() == count;
  };
  EXPECT_TRUE(comes_to(1)) << "at first work is expected";
  pool.expect_work(false);
  EXPECT_TRUE(comes_to(0));
  EXPECT_EQ(line_pointers(pool.replay(kHeap, {}, inserts(kHeap, 3).records, soon())), 3);
  EXPECT_TRUE(comes_to(0));
  pool.expect_work(true);
  EXPECT_TRUE(comes_to(1));
}

std::string status_line(pid_t pid, const std::string& name) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  return "";
}

TEST(RedoProcess, IsSandboxedBeforeItsFirstRequest) {
  TestFolder folder;
  fs::create_directories(folder.scratch());
  RedoProcess process(folder.process_options(), folder.scratch() / "one");
  process.wait_ready(soon());
  EXPECT_EQ(status_line(process.pid(), "Seccomp"), "2");
  EXPECT_EQ(status_line(process.pid(), "NoNewPrivs"), "1");

  RedoRequest request{};
  request.magic = REDO_REQUEST_MAGIC;
  request.flags = REDO_PROBE_SANDBOX;
  std::string text;
  auto bytes = std::as_bytes(std::span(&request, 1));
  EXPECT_EQ(code_of([&] { (void)process.exchange(bytes, soon()); }, &text), Errc::corrupt);
  EXPECT_NE(text.find("Bad system call"), std::string::npos) << text;
}

// How a process that a signal has ended answers.
Errc end_after(int signal_sent) {
  signal(SIGPIPE, SIG_IGN);  // As the pool does.
  TestFolder folder;
  fs::create_directories(folder.scratch());
  RedoProcess process(folder.process_options(), folder.scratch() / "one");
  process.wait_ready(soon());
  kill(process.pid(), signal_sent);
  std::string request;
  Chain chain = inserts(kHeap, 2);
  encode_request(kHeap, {}, chain.records, request);
  return code_of([&] {
    for (;;) (void)process.exchange(as_bytes(request), soon());
  });
}

TEST(RedoProcess, ItsEndIsTheRecordsFaultOnlyIfItCrashed) {
  EXPECT_EQ(end_after(SIGKILL), Errc::unavailable);
  EXPECT_EQ(end_after(SIGSEGV), Errc::corrupt);
  EXPECT_EQ(end_after(SIGABRT), Errc::corrupt);
}

// Also a zombie that nobody has reaped yet has ended.
bool has_ended(pid_t pid) {
  std::string state = status_line(pid, "State");
  return state.empty() || state[0] == 'Z';
}

TEST(RedoProcess, EndsWhenItsOwnerIsKilled) {
  TestFolder folder;
  fs::create_directories(folder.scratch());
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  pid_t owner = fork();
  if (owner == 0) {
    RedoProcess process(folder.process_options(), folder.scratch() / "one");
    process.wait_ready(soon());
    pid_t pid = process.pid();
    (void)!write(channel[1], &pid, sizeof pid);
    pause();
  }
  pid_t pid = 0;
  ASSERT_EQ(read(channel[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  EXPECT_FALSE(has_ended(pid));
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  for (int i = 0; i < 500 && !has_ended(pid); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(has_ended(pid));
  close(channel[0]);
  close(channel[1]);
}

TEST(RedoProcess, MalformedRequestsEndItCleanly) {
  TestFolder folder;
  fs::create_directories(folder.scratch());
  Chain chain = inserts(kHeap, 2);
  std::string good;
  encode_request(kHeap, {}, chain.records, good);
  for (size_t at : {size_t{0}, size_t{4}, size_t{24}, size_t{28}, size_t{40}}) {
    RedoProcess process(folder.process_options(), folder.scratch() / "one");
    process.wait_ready(soon());
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x18);
    try {
      auto reply = process.exchange(as_bytes(bad), Deadline::after(300ms));
      EXPECT_NE(reply.status, REDO_PAGE) << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::timed_out) << at << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace halogen::pageserver
