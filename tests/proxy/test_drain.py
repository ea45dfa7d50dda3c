"""`halogen down` ends idle clients at once, and the others when their transactions are over, up to a bound."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time

import psycopg2
import pytest

from fixtures.platform import BIN, wait_until
from fixtures.wire import TlsWire, fields, rows


@pytest.fixture
def ready(own_platform):
    """A project with a table; the compute runs."""
    project = own_platform.create_project()
    project.query("create table t (n int)")
    return project


def begin_down(platform, *flags):
    """`halogen down` under way: it has begun to drain."""
    process = subprocess.Popen([BIN, "down", *flags], env=platform.env, stderr=subprocess.PIPE)
    wait_until(lambda: "draining, for at most" in platform.log_text(), what="the drain")
    return process


def restart(platform, **env):
    platform.down()
    platform.env.update(env)
    platform.up()


def goodbye(wire):
    """What it is told at the end, with nothing asked."""
    kind, body = wire.receive()
    assert kind == "E", kind
    told = fields(body)
    assert (told["V"], told["C"]) == ("FATAL", "57P01") and told["H"], told
    return told


def last_line(platform, words):
    return [line for line in platform.log_text().splitlines() if words in line][-1]


def test_transactions_end_and_idle_clients_are_told_at_once(own_platform, ready, pooled):
    string = ready.connection_string(pooled=pooled)
    idle, holding, writing, asking = (TlsWire(string) for _ in range(4))
    holding.query("select pg_advisory_lock(1)")
    writing.query("begin")
    writing.query("insert into t values (1)")
    asking.send(("Q", b"select pg_sleep(3)\0"))
    down = begin_down(own_platform)
    for one in (idle, holding):
        one.socket.settimeout(2)
        goodbye(one)
    wait_until(lambda: refused(own_platform), what="the end of listening")
    writing.query("insert into t values (2)")
    assert down.poll() is None
    writing.query("commit")
    goodbye(writing)
    assert rows(asking.until_ready()) == [("",)]
    goodbye(asking)
    assert down.wait(60) == 0
    assert last_line(own_platform, "stopped;").endswith(" 0 clients cut off")
    own_platform.up()
    assert ready.query("select n from t order by n") == [(1,), (2,)]


def refused(platform):
    try:
        socket.create_connection(("127.0.0.1", platform.pg_port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_clients_that_never_stop_lose_nothing_that_was_confirmed(own_platform, ready, pooled):
    string = ready.connection_string(pooled=pooled)
    confirmed, ends = [0] * 8, [None] * 8

    def work(i):
        wire = TlsWire(string)
        while True:
            for sql in ("begin", "insert into t values (1)", "insert into t values (2)", "commit"):
                # Told between two statements, it finds out with the next.
                with contextlib.suppress(OSError):
                    wire.send(("Q", sql.encode() + b"\0"))
                while (message := wire.receive())[0] not in "ZE":
                    pass
                if message[0] == "E":
                    ends[i] = fields(message[1])["C"]
                    return
            confirmed[i] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    wait_until(lambda: all(confirmed), what="work of all")
    assert begin_down(own_platform).wait(60) == 0
    for worker in workers:
        worker.join(10)
    assert ends == ["57P01"] * 8
    assert last_line(own_platform, "stopped;").endswith(" 0 clients cut off")
    own_platform.up()
    assert ready.query("select count(*) from t") == [(2 * sum(confirmed),)]


def test_a_transaction_without_an_end_is_cut_off_at_the_bound(own_platform, ready, pooled):
    restart(own_platform, HALOGEN_DRAIN_TIMEOUT="2")
    wire = TlsWire(ready.connection_string(pooled=pooled))
    wire.query("begin")
    wire.query("insert into t values (1)")
    down = begin_down(own_platform)
    began = time.monotonic()
    goodbye(wire)
    assert 1 < time.monotonic() - began < 10
    assert down.wait(60) == 0
    assert last_line(own_platform, "stopped;").endswith(" 1 clients cut off")
    own_platform.up()
    assert ready.query("select n from t") == []


@pytest.mark.parametrize("how", ["--now", "a second signal"])
def test_the_drain_can_be_cut_short(own_platform, ready, how):
    restart(own_platform, HALOGEN_DRAIN_TIMEOUT="120")
    pid = own_platform.pid()
    wire = TlsWire(ready.connection_string(pooled=True))
    wire.query("begin")
    down = begin_down(own_platform, *([how] if how == "--now" else []))
    if how != "--now":
        time.sleep(1)
        assert down.poll() is None
        os.kill(pid, signal.SIGTERM)
    goodbye(wire)
    assert down.wait(60) == 0
    own_platform.up()
    assert ready.query("select 1") == [(1,)]


def test_what_waits_for_a_compute_or_a_server_goes_on(own_platform, ready):
    own_platform.set_pooler(ready, default_pool_size=1)
    string = ready.connection_string(pooled=True)
    holds, waits, sleeps = (TlsWire(string) for _ in range(3))
    holds.query("begin")
    waits.send(("Q", b"insert into t values (1)\0"))
    time.sleep(0.5)
    down = begin_down(own_platform)
    goodbye(sleeps)
    holds.query("commit")
    goodbye(holds)
    assert [kind for kind, _ in waits.until_ready()] == ["C", "Z"]
    goodbye(waits)
    assert down.wait(60) == 0
    own_platform.up()
    assert ready.query("select n from t") == [(1,)]
