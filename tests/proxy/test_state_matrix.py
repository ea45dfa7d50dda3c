"""Every kind of session state, and what becomes of it when its server connection goes to other clients, when the
compute is suspended, and when the compute is killed. The table KINDS is what users are promised.

KEPT: the session is as before and heard of nothing. PINNED: as before, on the server connection it had. LOST: one
error, 57P01 with a hint, and then the same client connection works on, without that state.
"""

import dataclasses
import os
import signal
import time
from typing import Callable

import pytest

from fixtures.platform import wait_until
from fixtures.wire import SYNC, ServerError, TlsWire, bind, describe_statement, execute, kinds, parse, rows

KEPT, PINNED, LOST = "kept", "pinned", "57P01, then usable"


@dataclasses.dataclass
class Kind:
    name: str
    setup: tuple  # Statements, or functions of the session.
    probe: str | Callable
    value: object
    moved: str = KEPT
    suspended: str = KEPT
    crashed: str = KEPT
    startup: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        return self.name

    def begin(self, string):
        wire = TlsWire(string, timeout=30, **self.startup)
        for step in self.setup:
            step(wire) if callable(step) else wire.query(step)
        return wire

    def look(self, wire):
        return self.probe(wire) if callable(self.probe) else wire.one(self.probe)


def pinned(name, setup, probe, value):
    return Kind(name, setup, probe, value, PINNED, LOST, LOST)


def prepare_by_protocol(wire):
    answers = wire.pipeline(parse("stmt", "select $1::int + 40"), describe_statement("stmt"), SYNC)
    assert kinds(answers) == "1tTZ"


def run_prepared(wire):
    return rows(wire.pipeline(bind("", "stmt", (2,)), execute(), SYNC))[0][0]


def time_zone_as_reported(wire):
    return wire.one("show timezone"), wire.parameters["TimeZone"]


def declare_hold(wire):
    wire.query("declare hold cursor with hold for select generate_series(1, 10)")
    assert wire.one("fetch hold") == "1"


OWN_LOCKS = "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
FIRST_RANDOM_OF_HALF = "0.9851677175347999"

KINDS = [
    Kind("SET", ("set statement_timeout = '12345ms'",), "show statement_timeout", "12345ms"),
    Kind("set_config", ("select set_config('lock_timeout', '54321ms', false)",), "show lock_timeout", "54321ms"),
    Kind("a setting of one's own", ("set my.tenant = 'acme ''42'''",), "select current_setting('my.tenant')", "acme '42'"),
    Kind("search_path", ("set search_path = one, public",), "select v from shelf", "one"),
    Kind("TimeZone", ("set time zone 'Asia/Tokyo'",), time_zone_as_reported, ("Asia/Tokyo", "Asia/Tokyo")),
    Kind("role", ("set role other",), "select current_user", "other"),
    Kind("session authorization", ("set session authorization neondb_owner",), "select session_user", "neondb_owner"),
    Kind("application_name", ("set application_name = 'it''s me'",), "show application_name", "it's me"),
    Kind("client_encoding", ("set client_encoding = 'LATIN1'",), "show client_encoding", "LATIN1"),
    Kind("default isolation", ("set session characteristics as transaction isolation level serializable",),
         "show transaction_isolation", "serializable"),
    Kind("startup option", (), "show work_mem", "7MB", startup={"options": "-c work_mem=7MB"}),
    Kind("startup parameter", (), "show datestyle", "German, DMY", startup={"DateStyle": "German"}),
    Kind("RESET to the startup's value", ("set work_mem = '9MB'", "reset work_mem"), "show work_mem", "6MB",
         startup={"options": "-c work_mem=6MB"}),
    Kind("DISCARD ALL", ("set statement_timeout = 777", "listen gone", "discard all"), "show statement_timeout", "0"),
    Kind("SET LOCAL, committed", ("begin; set local statement_timeout = 555; commit",), "show statement_timeout", "0"),
    Kind("SET, rolled back", ("begin; set statement_timeout = 555; rollback",), "show statement_timeout", "0"),
    Kind("prepared by protocol", (prepare_by_protocol,), run_prepared, "42"),
    Kind("SQL PREPARE", ("prepare plus(int) as select $1 + 1",), "execute plus(41)", "42"),
    pinned("session advisory lock", ("select pg_advisory_lock(123456)",), OWN_LOCKS, "1"),
    pinned("temporary table", ("create temp table mine as select 'temporary' as v",), "select v from mine", "temporary"),
    pinned("WITH HOLD cursor", (declare_hold,), "fetch hold", "2"),
    pinned("currval", ("select nextval('counter')", "select currval('counter') = lastval()"),
           "select currval('counter') = lastval()", "t"),
    pinned("setseed", ("select setseed(0.5)",), "select random()", FIRST_RANDOM_OF_HALF),
    pinned("open transaction", ("begin", "insert into notes values ('not committed')"),
           "select count(*) from notes where v = 'not committed'", "1"),
    pinned("SET LOCAL, in its transaction", ("begin; set local statement_timeout = '444ms'",), "show statement_timeout", "444ms"),
]


@pytest.fixture(scope="module")
def project(session_platform):
    project = session_platform.create_project()
    project.query("create schema one; create table one.shelf as select 'one' as v; create table shelf as select 'public' as v; "
                  "create sequence counter; create table notes (v text)")
    admin = project.superuser("neondb")
    with admin.cursor() as cursor:
        cursor.execute("create role other; grant other to neondb_owner")
    admin.close()
    yield project
    project.delete()


@pytest.fixture
def sessions():
    """Closes what the test opened."""
    opened = []
    yield opened
    for wire in opened:
        try:
            wire.close()
        except OSError:
            pass


def outcome(kind, wire):
    """What a user would say became of the session."""
    try:
        value = kind.look(wire)
    except ServerError as error:
        return f"{error.code}{'' if error.hint else ' without a hint'}, then {'usable' if usable(wire) else 'dead'}"
    except (OSError, EOFError) as error:
        return f"no answer: {error!r}"
    return KEPT if value == kind.value else f"wrong: {value!r}"


def usable(wire):
    try:
        return wire.simple("rollback")[-1] == ("Z", b"I") and wire.one("select 1 + 1") == "2"
    except (ServerError, OSError, EOFError):
        return False


# --- moved ----------------------------------------------------------------------------------------

POOL = 3


def block(string, sessions):
    """A client that keeps a server connection for itself, and the connection's process id."""
    wire = TlsWire(string, timeout=20)
    sessions.append(wire)
    wire.query("begin")
    return wire, wire.one("select pg_backend_pid()")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_moved_to_another_server_connection(platform, project, sessions, kind):
    platform.set_pooler(project, default_pool_size=POOL)
    string = project.connection_string(pooled=True)
    wire = kind.begin(string)
    sessions.append(wire)
    mine = None if kind.moved == PINNED and "transaction" in kind.name else wire.one("select pg_backend_pid()")
    if kind.moved == PINNED:
        taken = [block(string, sessions)[1] for _ in range(POOL - 1)]
        assert mine not in taken, "a server connection was taken from a session that is pinned to it"
        assert outcome(kind, wire) == KEPT
        assert mine is None or wire.one("select pg_backend_pid()") == mine
        return
    # Others take servers until one of them has the one this session used; that one keeps it.
    blockers = []
    while mine not in [pid for _, pid in blockers]:
        assert len(blockers) < POOL, "an idle session that could be moved keeps a server connection"
        blockers.append(block(string, sessions))
    for blocker, pid in blockers:
        if pid != mine:
            blocker.query("commit")
    assert outcome(kind, wire) == KEPT


def test_listen_keeps_no_server_connection(platform, project, sessions):
    """All servers are taken, and the notification comes all the same."""
    platform.set_pooler(project, default_pool_size=POOL)
    string = project.connection_string(pooled=True)
    listeners = [TlsWire(string) for _ in range(10)]
    sessions += listeners
    for i, wire in enumerate(listeners):
        wire.query(f"listen ch{i % 2}; listen everyone")
    for _ in range(POOL):
        block(string, sessions)
    project.query("notify ch1, 'first'; notify everyone, 'second'")
    for i, wire in enumerate(listeners):
        wanted = [("ch1", "first")] * (i % 2) + [("everyone", "second")]
        wait_until(lambda: wire.wait_for_notification(0.5) and len(wire.notifications) == len(wanted) or take_more(wire),
                   10, f"notifications of listener {i}")
        assert wire.notifications == wanted


def take_more(wire):
    """The next notification, kept with those before it."""
    before, wire.notifications = wire.notifications, []
    wire.wait_for_notification(0.5)
    wire.notifications = before + wire.notifications
    return False


def test_unlisten_and_closing_end_it(platform, project, sessions):
    string = project.connection_string(pooled=True)
    stays, leaves = TlsWire(string), TlsWire(string)
    sessions += [stays, leaves]
    for wire in (stays, leaves):
        wire.query("listen news")
    leaves.query("unlisten *")
    project.query("notify news, 'x'")
    assert stays.wait_for_notification(10) and stays.notifications == [("news", "x")]
    assert not leaves.wait_for_notification(1)
    stays.query("notify news, 'to myself'")
    assert stays.notifications[1:] == [("news", "to myself")] or \
        (take_more(stays), stays.notifications[1:] == [("news", "to myself")])[1]


# --- suspended, crashed ---------------------------------------------------------------------------

def suspend(platform, project):
    project.suspend()
    assert project.compute()["state"] == "idle"


def crash(platform, project):
    platform.expect_log(".")  # That a compute died is said in several ways.
    pid = project.compute()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: project.compute().get("pid") != pid or project.compute()["state"] != "active", what="the crash being noticed")


@pytest.mark.parametrize("event", [suspend, crash], ids=["suspended", "crashed"])
def test_all_kinds_at_once(platform, project, sessions, pooled, event):
    platform.set_pooler(project, default_pool_size=2 * len(KINDS))
    string = project.connection_string(pooled=pooled)
    begun = [(kind, kind.begin(string)) for kind in KINDS]
    sessions += [wire for _, wire in begun]
    event(platform, project)
    seen = {kind.name: outcome(kind, wire) for kind, wire in begun}
    wanted = {kind.name: kind.suspended if event is suspend else kind.crashed for kind in KINDS}
    assert {name: said for name, said in seen.items() if said != wanted[name]} == {}
    # What was lost is lost: nothing of the transactions that were open.
    assert project.query("select count(*) from notes") == [(0,)]


def test_listeners_hear_again_after_a_suspend(platform, project, sessions, pooled):
    """Guaranteed is what is notified once the listener listens again, which the wake brings about by itself."""
    listener = TlsWire(project.connection_string(pooled=pooled))
    sessions.append(listener)
    listener.query("listen across")
    suspend(platform, project)

    def notified():
        project.query("notify across, 'awake'")
        return listener.wait_for_notification(0.2)

    wait_until(notified, 20, "a notification after the wake")
    assert set(listener.notifications) == {("across", "awake")}


def test_listeners_are_told_of_a_crash(platform, project, sessions, pooled):
    """What was notified in its last moment may not have been heard."""
    listener = TlsWire(project.connection_string(pooled=pooled))
    sessions.append(listener)
    listener.query("listen across")
    crash(platform, project)
    listener.socket.settimeout(20)
    kind, body = listener.receive()
    assert kind == "E" and b"C57P01\0" in body and b"notifications may have been missed" in body


@pytest.mark.parametrize("event", [suspend, crash], ids=["suspended", "crashed"])
def test_many_idle_sessions_hear_nothing(platform, project, sessions, pooled, event):
    string = project.connection_string(pooled=pooled)
    sessions += [TlsWire(string, application_name=f"idle {i}") for i in range(50)]
    for i, wire in enumerate(sessions):
        wire.query(f"set my.number = '{i}'")
    event(platform, project)
    time.sleep(0.5)
    for i, wire in enumerate(sessions):
        assert wire.one("select current_setting('application_name') || ' is ' || current_setting('my.number')") == f"idle {i} is {i}"


def test_a_crash_under_a_running_query_is_one_error(platform, project, sessions, pooled):
    wire = TlsWire(project.connection_string(pooled=pooled), timeout=30)
    sessions.append(wire)
    wire.send(("Q", b"select pg_sleep(60)\0"))
    wait_until(lambda: project.query("select count(*) from pg_stat_activity where query like 'select pg_sleep(60)%%'") == [(1,)])
    crash(platform, project)
    with pytest.raises(ServerError) as raised:
        rows(wire.until_ready())
    assert raised.value.code == "57P01" and raised.value.hint
    assert usable(wire)


# --- silently wrong is worse than an error --------------------------------------------------------

def test_currval_is_ones_own_or_an_error(platform, project, sessions):
    """The statement after an INSERT asks for the number it was given: never another client's."""
    platform.set_pooler(project, default_pool_size=2)
    project.query("create sequence if not exists busy")
    string = project.connection_string(pooled=True)
    sessions += [TlsWire(string) for _ in range(8)]
    answers = []
    for _ in range(10):
        given = [wire.one("select nextval('busy')") for wire in sessions]
        for wire, number in zip(sessions, given):
            try:
                assert wire.one("select lastval()") == number
                answers.append("own")
            except ServerError as error:
                assert error.code == "55000"
                answers.append("error")
    assert len(answers) == 80


def test_random_after_setseed_repeats(platform, project, sessions, pooled):
    platform.set_pooler(project, default_pool_size=4)  # Each of these keeps its server.
    for _ in range(3):
        wire = TlsWire(project.connection_string(pooled=pooled))
        sessions.append(wire)
        wire.query("select setseed(0.5)")
        assert wire.one("select random()") == FIRST_RANDOM_OF_HALF
