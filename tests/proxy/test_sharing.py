"""Many clients, few server connections: who gets one when, and what a client is told who gets none."""

import re
import threading
import time

import psycopg2
import pytest

from drivers.crowd import in_threads
from fixtures.platform import wait_until
from fixtures.wire import ServerError, TlsWire

PID = "select pg_backend_pid()"


@pytest.fixture
def pool(platform, project):
    """Sets the pooler up and gives the pooled string."""
    def set_up(**settings):
        platform.set_pooler(project, **settings)
        return project.connection_string(pooled=True)
    return set_up


def test_a_pool_is_never_larger_than_it_is_set(pool):
    string = pool(default_pool_size=4)

    def work(_):
        wire = TlsWire(string)
        pids = {wire.one(PID) for _ in range(30)}
        wire.close()
        return pids

    seen = in_threads(work, clients=40)
    assert 1 <= len(set().union(*seen)) <= 4


def test_idle_clients_hold_no_server(pool, connect):
    string = pool(default_pool_size=2)
    clients = [connect(string) for _ in range(100)]
    for _ in range(2):
        assert [wire.one("select 1") for wire in clients] == ["1"] * 100


def test_each_database_and_role_has_a_pool_of_its_own(project, pool, connect):
    string = pool(default_pool_size=1)
    project.query("create database other")
    holder, other = connect(string), connect(string, database="other")
    holder.query("begin")
    assert other.one("select current_database()") == "other"
    other.query("begin")
    assert holder.one("select current_database()") == "neondb"


def test_who_waits_too_long_is_told_and_can_go_on(pool, connect):
    string = pool(default_pool_size=1, query_wait_timeout=1)
    holder, waiter = connect(string), connect(string)
    holder.query("begin")
    start = time.monotonic()
    with pytest.raises(ServerError, match="53300") as raised:
        waiter.query("select 1")
    waited = time.monotonic() - start
    assert 0.8 < waited < 5, waited
    assert re.search(r"\b1(\.\d)? ?s", str(raised.value)), f"how long it waited is not said: {raised.value}"
    assert raised.value.hint and "pool" in raised.value.hint
    holder.query("commit")
    assert waiter.one("select 1") == "1"


def test_the_queue_is_first_come_first_served(pool, connect):
    string = pool(default_pool_size=1)
    holder = connect(string)
    holder.query("begin")
    order, threads = [], []

    def wait(i, wire):
        # The server's clock: answers may pass each other on their way back.
        order.append((float(wire.one("select extract(epoch from clock_timestamp())")), i))

    for i in range(8):
        threads.append(threading.Thread(target=wait, args=(i, connect(string))))
        threads[-1].start()
        time.sleep(0.1)
    assert order == []
    holder.query("commit")
    for thread in threads:
        thread.join()
    assert [i for _, i in sorted(order)] == list(range(8))


def test_servers_are_replaced_after_their_lifetime(pool, connect):
    wire = connect(pool(default_pool_size=1, server_lifetime=1))
    first = wire.one(PID)
    wait_until(lambda: wire.one(PID) != first, 10, "another server connection")


def test_idle_servers_are_closed(project, pool, connect):
    wire = connect(pool(default_pool_size=3, server_idle_timeout=1))
    pid = wire.one(PID)
    admin = project.superuser("neondb")
    with admin.cursor() as cursor:
        def gone():
            cursor.execute("select count(*) from pg_stat_activity where pid = %s", (pid,))
            return cursor.fetchone() == (0,)
        wait_until(gone, 15, "the end of an idle server connection")
    admin.close()
    assert wire.one("select 1") == "1"


def test_a_server_that_is_terminated_while_idle_is_nobodys_error(project, pool, connect):
    clients = [connect(pool(default_pool_size=3)) for _ in range(10)]
    for wire in clients:
        wire.query("select 1")
    admin = project.superuser("neondb")
    with admin.cursor() as cursor:
        for _ in range(5):
            # With a timeout it returns when they are gone: a request that meets a dying server is its client's error.
            cursor.execute("select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'neondb_owner'")
            assert [wire.one("select 1") for wire in clients] == ["1"] * 10
    admin.close()


def test_a_server_terminated_in_a_transaction_is_that_clients_error(project, pool, connect):
    string = pool(default_pool_size=3)
    unlucky, lucky = connect(string), connect(string)
    unlucky.query("begin")
    pid = unlucky.one(PID)
    lucky.query("begin")
    project.query("select pg_terminate_backend(%s)", int(pid))
    with pytest.raises(ServerError, match="57P01"):
        unlucky.query("select 1")
    assert lucky.query("commit") == [] and unlucky.simple("rollback")[-1] == ("Z", b"I")
    assert unlucky.one("select 1") == "1"


# --- cancel ---------------------------------------------------------------------------------------

def test_cancel_reaches_the_right_one_of_many(pool, project):
    string = pool(default_pool_size=10)
    holder = project.connect()
    holder.cursor().execute("select pg_advisory_lock(1)")
    connections = [psycopg2.connect(string) for _ in range(10)]
    results = [None] * 10

    def wait(i):
        with connections[i].cursor() as cursor:
            try:
                cursor.execute("select pg_advisory_xact_lock_shared(1)")
                results[i] = "waited"
            except psycopg2.errors.QueryCanceled:
                results[i] = "cancelled"

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    wait_until(lambda: project.query("select count(*) from pg_locks where locktype = 'advisory' and not granted") == [(10,)])
    for i in (2, 5, 7):
        connections[i].cancel()
    wait_until(lambda: results.count("cancelled") >= 3)
    holder.close()
    for thread in threads:
        thread.join()
    assert results == ["cancelled" if i in (2, 5, 7) else "waited" for i in range(10)]
    for connection in connections:
        connection.close()


def test_cancelling_an_idle_client_hurts_nobody(pool):
    """Its server runs another's query by now."""
    string = pool(default_pool_size=1)
    idle, busy = psycopg2.connect(string), psycopg2.connect(string)
    idle.autocommit = busy.autocommit = True
    idle.cursor().execute("select 1")
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            idle.cancel()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        with busy.cursor() as cursor:
            for i in range(20):
                cursor.execute("select pg_sleep(0.02), %s", (i,))
                assert cursor.fetchone()[1] == i
    finally:
        stop.set()
        thread.join()
    idle.close()
    busy.close()


def test_a_client_that_vanishes_in_a_transaction_leaves_a_clean_server(project, pool, connect):
    string = pool(default_pool_size=1)
    project.query("create table t (i int)")
    leaver = connect(string)
    leaver.query("begin; insert into t values (1); set local work_mem = '1MB'")
    leaver.socket.close()
    next_one = connect(string)
    assert next_one.query("select count(*) from t") == [("0",)]
    assert next_one.simple("select 1")[-1] == ("Z", b"I")
    assert next_one.one("show work_mem") != "1MB"
