"""Prepared statements, their names and their settings, by clients that share servers; and what of a session shows in its
server: process ids, sequences, two-phase commit."""

import os
import signal

import pytest

from fixtures.platform import wait_until
from fixtures.wire import SYNC, ServerError, bind, describe_statement, execute, kinds, parse, rows

PID = "select pg_backend_pid()"
ZONE = "select '2024-06-01 12:00'::timestamptz at time zone 'UTC'"


@pytest.fixture(scope="module")
def project(session_platform):
    project = session_platform.create_project()
    yield project
    project.delete()


@pytest.fixture
def connect(connect, project):
    return lambda pooled=True: connect(project.connection_string(pooled=pooled), timeout=30)


def move(connect, wire):
    """Another client takes the server that this one had last."""
    mine = wire.one(PID)
    while True:
        other = connect()
        other.query("begin")
        if other.one(PID) == mine:
            return other


def value_of(wire, name):
    return rows(wire.pipeline(bind("", name), execute(), SYNC))[0][0]


def test_a_statement_is_read_by_the_settings_of_its_own_parse(connect):
    one, two = connect(), connect()
    one.query("set timezone = 'UTC'")
    two.query("set timezone = 'Asia/Tokyo'")
    for wire in one, two:
        wire.pipeline(parse("s", ZONE), SYNC)
        wire.query("prepare p as " + ZONE)
    assert value_of(one, "s") == one.one("execute p") == "2024-06-01 12:00:00"
    assert value_of(two, "s") == two.one("execute p") == "2024-06-01 03:00:00"
    one.query("set timezone = 'Europe/Rome'")
    move(connect, one)
    assert value_of(one, "s") == one.one("execute p") == "2024-06-01 12:00:00"
    one.query("begin; set local timezone = 'Asia/Tokyo'")
    one.pipeline(parse("t", ZONE), SYNC)
    one.query("rollback")
    move(connect, one)
    assert value_of(one, "t") == "2024-06-01 03:00:00"


@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "direct"])
def test_sql_finds_a_statement_of_the_protocol_wherever_it_stands(connect, pooled):
    wire = connect(pooled)
    wire.pipeline(parse("s", "select length($1::text)"), SYNC)
    for sql in ("execute s('xyz')", "select 1; execute s('xyz')", "/* - */ execute s ( 'xyz' )",
                "create temp table t on commit drop as execute s('xyz'); select 3"):
        assert wire.query(sql)[-1] == ("3",), sql
    assert wire.one("execute s('%s')" % ("x" * 100_000)) == "100000"
    assert wire.query("select length('%s'); execute s('xy')" % ("x" * 300_000)) == [("300000",), ("2",)]
    assert wire.query("explain (costs off) execute s('x')") == [("Result",)]
    wire.pipeline(parse("e", "execute s('four')"), SYNC)
    if pooled:
        move(connect, wire)
    assert value_of(wire, "e") == "4"
    with pytest.raises(ServerError, match="42P05"):
        wire.query("prepare s as select 1")
    wire.query("select 1; deallocate s")
    with pytest.raises(ServerError, match='26000.*"s"'):
        wire.query("execute s('x')")


def test_errors_call_a_statement_by_its_clients_name(connect):
    wire = connect()
    wire.pipeline(parse("mine", "select $1::int"), SYNC)
    with pytest.raises(ServerError, match='"mine"'):
        rows(wire.pipeline(bind("", "mine"), execute(), SYNC))


def test_a_changed_result_type_fails_as_drivers_know_it(connect):
    wire, other = connect(), connect()
    other.query("create table shape (a int)")
    wire.pipeline(parse("s", "select * from shape"), describe_statement("s"), SYNC)
    other.query("alter table shape add b int")
    taker = move(connect, wire)
    messages = wire.pipeline(bind("", "s"), execute(), SYNC)
    body = dict(messages)["E"]
    assert b"C0A000\0" in body and b"RRevalidateCachedQuery\0" in body
    taker.query("rollback")
    other.query("drop table shape")


def test_a_changed_parameter_type_heals(connect):
    wire, other = connect(), connect()
    other.query("create table keyed (id int, v text); insert into keyed values (1, 'one')")
    wire.pipeline(parse("s", "select v from keyed where id = $1"), describe_statement("s"), SYNC)
    other.query("alter table keyed alter id type bigint")
    taker = move(connect, wire)
    assert rows(wire.pipeline(bind("", "s", (1,)), execute(), SYNC)) == [("one",)]
    taker.query("rollback")
    other.query("drop table keyed")


def test_what_the_proxy_says_to_servers_cannot_be_forged(connect):
    wire = connect()
    for sql in ("set halogen.session to default", "set halogen.session to 'startup', 'search_path', 'evil'",
                "set halogen.names to 's', 'halogen.1', ''", "set halogen.parse to 'TimeZone', 'Asia/Tokyo'"):
        with pytest.raises(ServerError, match="42501"):
            wire.query(sql)
    assert wire.one("show search_path") == '"$user", public'


def test_a_direct_client_is_told_the_pid_of_its_backend(connect):
    wire = connect(pooled=False)
    assert str(wire.pid) == wire.one(PID)
    other = connect(pooled=False)
    assert other.one(f"select count(*) from pg_stat_activity where pid = {wire.pid}") == "1"


def test_a_sequence_that_an_added_column_used_is_no_strangers(connect):
    wire = connect()
    wire.query("create table filled as select 1 as a; alter table filled add id int generated always as identity")
    server = wire.one(PID)
    others = [connect() for _ in range(3)]
    for other in others:
        with pytest.raises(ServerError, match="55000"):
            other.query("select lastval()")
    assert server
    wire.query("drop table filled")


def test_two_phase_commit_from_another_server_survives_suspend_and_crash(connect, project, platform):
    wire = connect()
    wire.query("create table ledger (v text)")
    for gid in "suspended", "killed":
        wire.query(f"begin; insert into ledger values ('{gid}'); prepare transaction '{gid}'")
    move(connect, wire).query("rollback")
    project.suspend()
    assert wire.one("select count(*) from pg_prepared_xacts") == "2"
    wire.query("commit prepared 'suspended'")
    platform.expect_log(".")  # That a compute died is said in several ways.
    pid = project.compute()["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: project.compute().get("pid") != pid, what="the crash being noticed")
    assert wire.one("select count(*) from pg_prepared_xacts") == "1"
    wire.query("commit prepared 'killed'")
    assert wire.query("select v from ledger order by v") == [("killed",), ("suspended",)]
