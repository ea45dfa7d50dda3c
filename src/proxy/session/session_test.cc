// What happens to a session once it is in: cancel, COPY, slow readers, death of its compute, stop.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>

#include "base/file.h"
#include "proxy/testing/test_world.h"

namespace halogen::proxy {
namespace {

using ::testing::HasSubstr;

size_t resident_kb() {
  std::ifstream in("/proc/self/statm");
  size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

class SessionTest : public ProxyTest {};

TEST_F(SessionTest, CancelReachesTheRightBackend) {
  start();
  CommandResult result = python(R"(
c = psycopg2.connect(dsn); other = psycopg2.connect(dsn)
threading.Timer(0.5, c.cancel).start()
before = time.time()
try: c.cursor().execute('select pg_sleep(20)')
except psycopg2.errors.QueryCanceled: print('cancelled', time.time() - before < 5)
c.rollback(); cur = c.cursor(); cur.execute('select 42'); print(cur.fetchone()[0])
)");
  EXPECT_EQ(result.output, "cancelled True\n42\n");
}

TEST_F(SessionTest, CopyOutAndInOfAHundredMegabytes) {
  start();
  direct_sql("create table if not exists big (t text)");
  CommandResult result = python(R"(
import io, hashlib
class Sink:
  def __init__(self): self.n = 0; self.h = hashlib.md5()
  def write(self, b): self.n += len(b); self.h.update(b.encode() if isinstance(b, str) else b)
class Source:
  def __init__(self): self.left = 100000
  def read(self, n):
    k = min(self.left, n // 1000); self.left -= k
    return b''.join(b'%0999d\n' % (self.left + i) for i in range(k))
c = psycopg2.connect(dsn); cur = c.cursor()
cur.execute('truncate big')
cur.copy_expert('copy big from stdin', Source(), size=1000000)
c.commit()
cur.execute('select count(*), sum(length(t)), count(distinct t) from big'); print(cur.fetchone())
sink = Sink(); cur.copy_expert('copy big to stdout', sink); print(sink.n)
)");
  EXPECT_EQ(result.output, "(100000, 99900000, 100000)\n100000000\n");
  direct_sql("drop table big");
}

TEST_F(SessionTest, SlowReaderHoldsTheServerBack) {
  start();
  psql("", "select 1");
  size_t before = resident_kb();
  std::thread client([this] {
    psql("",
         "copy (select repeat('x', 1000) from generate_series(1, 200000)) to stdout\" | (sleep "
         "2; cat >/dev/null) ; echo \"");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_LT(resident_kb(), before + 16 * 1024);  // Of 200 MB.
  EXPECT_THAT(direct_sql("select wait_event from pg_stat_activity where query like 'copy%'"),
              HasSubstr("ClientWrite"));
  client.join();
}

TEST_F(SessionTest, BackendThatDiesLeavesAMessage) {
  start();
  std::thread killer([] {
    std::string pid;
    while (pid.empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      pid = direct_sql("select pid from pg_stat_activity where query like 'select pg_sleep(20%'");
    }
    ::kill(std::stoi(pid), SIGKILL);
  });
  CommandResult result = psql("", "select pg_sleep(20)");
  killer.join();
  EXPECT_THAT(result.output, HasSubstr("ERROR:  57P01: the connection to the compute was lost"));
  EXPECT_THAT(result.output, HasSubstr("HINT:  Retry: this connection can be used again"));
  // The server restarts itself; meanwhile it says 57P03, and the proxy tries again for the client.
  EXPECT_EQ(psql("", "select 1").output, "1\n");
}

TEST_F(SessionTest, PostgresOwnLastWordsAreNotAddedTo) {
  start();
  std::string output = psql("", "select pg_terminate_backend(pg_backend_pid())").output;
  EXPECT_THAT(output, HasSubstr("57P01: terminating connection due to administrator command"));
  EXPECT_EQ(output.find("compute"), std::string::npos) << output;
}

TEST_F(SessionTest, StopTellsIdleClientsAndCountsThemOut) {
  Proxy& proxy = start();
  std::thread stopper([&] {
    while (endpoints_.opened == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    proxy.stop();
  });
  CommandResult result =
      command("(echo 'select 1;'; sleep 1.5; echo 'select 2;') | psql -X '" + conninfo() + "'");
  stopper.join();
  EXPECT_THAT(result.output, HasSubstr("terminating connection due to administrator command"));
  EXPECT_EQ(endpoints_.closed, endpoints_.opened);
}

TEST_F(SessionTest, AsyncpgAndPsycopg3WorkWithVerifiedCertificates) {
  Proxy& proxy = start();
  CommandResult result = python(fmt::format(R"(
import asyncio, asyncpg, psycopg, ssl, socket
host, port, ca = 'ep-test.eu.localhost', {}, '{}'
resolve = socket.getaddrinfo  # Whatever this machine's resolver makes of *.localhost.
socket.getaddrinfo = lambda h, *a, **k: resolve('127.0.0.1' if h == host else h, *a, **k)
async def main():
  c = await asyncpg.connect(host=host, port=port, user='alice', password='{}', database='postgres',
                            ssl=ssl.create_default_context(cafile=ca))
  print(await c.fetchval('select sum(g) from generate_series(1, $1) g', 1000))
  await c.close()
asyncio.run(main())
with psycopg.connect(dsn + ' sslmode=verify-full sslrootcert=' + ca) as c:
  with c.pipeline():
    cursors = [c.execute('select %s::int', [i]) for i in range(100)]
  print(sum(cursor.fetchone()[0] for cursor in cursors))
)",
                                            proxy.port(), proxy.ca_file().string(), kPassword));
  EXPECT_EQ(result.output, "500500\n4950\n");
}

TEST_F(SessionTest, ReplicationPassesThrough) {
  start();
  EXPECT_THAT(psql("replication=database", "IDENTIFY_SYSTEM").output, HasSubstr("postgres"));
  fs::path folder = certificates_ / "wal";
  fs::create_directory(folder);
  CommandResult result = command(
      fmt::format("timeout 2 pg_receivewal --no-loop -D {} -d '{}'; ls {}", folder.string(),
                  conninfo().replace(conninfo().find("dbname=postgres"), 15, ""), folder.string()));
  EXPECT_THAT(result.output, HasSubstr(".partial"));
}

TEST_F(SessionTest, IdleClientsAreCheap) {
  constexpr int kClients = 300;
  start([](Proxy::Options& options) { options.startup_timeout = std::chrono::minutes(5); });
  psql("", "select 1");
  size_t before = resident_kb();
  const fs::path measured = certificates_ / "measured";
  CommandResult result;
  std::thread client([&] {
    result = python(fmt::format(R"(
import os
cs = [psycopg2.connect(dsn) for i in range({})]
while not os.path.exists('{}'): time.sleep(0.01)
for c in cs[::30]:
  cur = c.cursor(); cur.execute('select 1'); cur.fetchone()
print(len(cs))
)",
                                kClients, measured.string()));
  });
  while (endpoints_.opened < kClients + 1)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  double each = (static_cast<double>(resident_kb()) - static_cast<double>(before)) / kClients;
  write_file(measured, "");
  client.join();
  EXPECT_EQ(result.output, fmt::format("{}\n", kClients));
  RecordProperty("kb_per_idle_client", std::to_string(each));
  fmt::print("{:.1f} KB per idle client\n", each);
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer) && \
    !__has_feature(thread_sanitizer)
  EXPECT_LT(each, 32);
#endif
}

}  // namespace
}  // namespace halogen::proxy
