"""The message sequences of Npgsql and the JDBC driver, which no Debian package has, and the corners of the protocol
they reach: said message by message, each answer looked at."""

import struct

import pytest

from drivers.crowd import CLIENTS, ROUNDS, SETUP, check, in_threads, transfer
from fixtures.wire import (FLUSH, SYNC, ServerError, TlsWire, bind, close_portal, close_statement, describe_portal,
                           describe_statement, execute, fields, kinds, parse, rows, tags)

INT4, TEXT = 23, 25


@pytest.fixture(scope="module")
def project(session_platform):
    project = session_platform.create_project()
    yield project
    project.delete()


@pytest.fixture(autouse=True)
def clean(platform, project):
    project.query("drop table if exists t, account, entry; drop schema if exists one, two cascade")


@pytest.fixture
def wire(string):
    wire = TlsWire(string)
    yield wire
    wire.close()


def one_command(name, sql, values, types):
    return [parse(name, sql, types), bind("", name, values), describe_portal(), execute()]


# --- Npgsql: several commands in one batch, one Sync -----------------------------------------------

def test_npgsql_batches_in_a_crowd(project, crowded):
    """Unprepared commands first; "automatically prepared" ones later, under names that are the same in every client."""
    project.query(SETUP)
    move = "update account set balance = balance + $1 where id = $2"
    add = "insert into entry values ($1, $2, $3) returning client, round"

    def work(client):
        wire = TlsWire(crowded)
        own = f"select $1 + {client}"
        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            commands = [(move, (-amount, a), (INT4, INT4)), (move, (amount, b), (INT4, INT4)),
                        (add, (client, round, amount), (INT4, INT4, INT4)), (own, (round,), (INT4,))]
            messages = []
            for index, (sql, values, types) in enumerate(commands):
                name = f"_p{index}" if round > 5 else ""
                if round <= 6:
                    messages += [parse(name, sql, types)]
                messages += [bind("", name, values), describe_portal(), execute()]
            answers = wire.pipeline(*messages, SYNC)
            assert tags(answers) == ["UPDATE 1", "UPDATE 1", "INSERT 0 1", "SELECT 1"]
            assert rows(answers) == [(str(client), str(round)), (str(client + round),)]
            first = "1" if round <= 6 else ""
            assert kinds(answers) == 2 * f"{first}2nC" + 2 * f"{first}2TDC" + "Z"
        wire.close()

    in_threads(work)
    check(project)


def test_an_error_ends_the_batch_and_undoes_it(wire):
    wire.query("create table t (i int primary key)")
    batch = [m for i in (1, 2, 2, 3) for m in one_command("", "insert into t values ($1)", (i,), (INT4,))]
    answers = wire.pipeline(*batch, SYNC, *one_command("", "select count(*) from t", (), ()), SYNC)
    assert kinds(answers) == "12nC12nC12nEZ12TDCZ"
    assert fields(next(body for kind, body in answers if kind == "E"))["C"] == "23505"
    assert answers[-2][0] == "C" and answers[-3][1].endswith(b"0")
    assert wire.one("select count(*) from t") == "0"


def test_a_batch_may_hold_its_own_transaction(wire):
    wire.query("create table t (i int)")
    insert = one_command("", "insert into t values ($1)", (1,), (INT4,))
    begin, commit = one_command("", "begin", (), ()), one_command("", "commit", (), ())
    answers = wire.pipeline(*begin, *insert, SYNC, *insert, *commit, SYNC, *begin, *insert, *one_command("", "rollback", (), ()),
                            SYNC)
    assert [body for kind, body in answers if kind == "Z"] == [b"T", b"I", b"I"]
    assert tags(answers) == ["BEGIN", "INSERT 0 1", "INSERT 0 1", "COMMIT", "BEGIN", "INSERT 0 1", "ROLLBACK"]
    assert wire.one("select count(*) from t") == "2"


def test_pipelines_over_many_transactions_in_a_crowd(project, crowded):
    """Each Sync is a transaction of its own: twenty in flight, some failing, answers in order."""
    project.query("create table t (client int, i int, primary key (client, i))")

    def work(client):
        wire = TlsWire(crowded)
        for round in range(5):
            messages = []  # Dividing a constant, the planner fails at Bind already.
            for i in range(20):
                sql = "select 1 / $1" if i % 7 == 6 else "insert into t values ($2, $1) returning i"
                values, types = ((0,), (INT4,)) if i % 7 == 6 else ((round * 20 + i, client), (INT4, INT4))
                messages += [parse("", sql, types), bind("", "", values), execute(), SYNC]
            answers = wire.pipeline(*messages)
            assert kinds(answers) == "".join("1EZ" if i % 7 == 6 else "12DCZ" for i in range(20))
            good = [m for m in answers if m[0] != "E"]
            assert rows(good) == [(str(round * 20 + i),) for i in range(20) if i % 7 != 6]
        wire.close()

    in_threads(work)
    assert project.query("select count(*), count(distinct client) from t") == [(CLIENTS * 5 * 18, CLIENTS)]


def test_npgsql_prepares_then_runs(wire):
    """Prepare: Parse, Describe statement, Sync. Unprepare: Close, Sync."""
    answers = wire.pipeline(parse("_p1", "select $1::int as n, $2::text as t"), describe_statement("_p1"), SYNC)
    assert kinds(answers) == "1tTZ"
    assert answers[1][1] == struct.pack("!HII", 2, INT4, TEXT)
    assert [name for name, _ in columns(answers[2][1])] == ["n", "t"]
    assert rows(wire.pipeline(bind("", "_p1", (7, None)), execute(), SYNC)) == [("7", None)]
    answers = wire.pipeline(bind("", "_p1", (7, "x"), binary=True), execute(), SYNC)
    assert answers[1] == ("D", struct.pack("!HiIi", 2, 4, 7, 1) + b"x")
    assert kinds(wire.pipeline(close_statement("_p1"), SYNC)) == "3Z"
    assert sqlstate(wire.pipeline(bind("", "_p1", (1, 2)), execute(), SYNC)) == "26000"


def columns(body):
    count, offset, result = struct.unpack("!H", body[:2])[0], 2, []
    for _ in range(count):
        end = body.index(b"\0", offset)
        result.append((body[offset:end].decode(), struct.unpack("!I", body[end + 7:end + 11])[0]))
        offset = end + 19
    return result


def sqlstate(answers):
    return next(fields(body)["C"] for kind, body in answers if kind == "E")


# --- JDBC: unnamed five times, then S_n; portals with row limits -----------------------------------

def test_jdbc_statements_in_a_crowd(project, crowded):
    project.query(SETUP)

    def work(client):
        wire = TlsWire(crowded)
        names = {}

        def run(sql, values, types):
            uses = names.setdefault(sql, [0, None])
            uses[0] += 1
            if uses[0] < 5:
                return one_command("", sql, values, types)
            if uses[1] is None:
                uses[1] = f"S_{sum(name is not None for _, name in names.values()) + 1}"
                return [parse(uses[1], sql, types), bind("", uses[1], values), describe_portal(), execute()]
            return [bind("", uses[1], values), execute()]

        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            move = "update account set balance = balance + $1 where id = $2"
            answers = wire.pipeline(*run("BEGIN", (), ()), *run(move, (-amount, a), (INT4, INT4)), SYNC)
            assert answers[-1] == ("Z", b"T") and tags(answers) == ["BEGIN", "UPDATE 1"]
            # In every second client the text of a name differs, so that names of two clients never mean the same by chance.
            sql = f"insert into entry values ($1, $2, $3) returning client + {client} - {client}"
            answers = wire.pipeline(*run(move, (amount, b), (INT4, INT4)),
                                    *run(sql, (client, round, amount), (INT4, INT4, INT4)), SYNC)
            assert rows(answers) == [(str(client),)]
            assert wire.pipeline(*run("COMMIT", (), ()), SYNC)[-1] == ("Z", b"I")
            assert rows(wire.pipeline(*run(f"select {client}, $1", (round,), (INT4,)), SYNC)) == [(str(client), str(round))]
        assert any(name for _, name in names.values())
        wire.close()

    in_threads(work)
    check(project)


def test_jdbc_fetch_size(wire):
    """A portal read in parts within a transaction, while other statements run between its parts."""
    wire.pipeline(parse("S_1", "BEGIN"), bind("", "S_1"), execute(), SYNC)
    messages = wire.pipeline(parse("S_2", "select i, repeat('x', 100) from generate_series(1, $1) i", (INT4,)),
                             bind("C_3", "S_2", (250,)), describe_portal("C_3"), execute("C_3", 100), SYNC)
    assert kinds(messages) == "12T" + "D" * 100 + "sZ"
    got = rows(messages)
    assert wire.one("select 'between'") == "between"
    got += rows(wire.pipeline(execute("C_3", 100), SYNC))
    messages = wire.pipeline(execute("C_3", 100), SYNC)
    assert kinds(messages) == "D" * 50 + "CZ" and tags(messages) == ["SELECT 50"]
    assert [int(i) for i, _ in got + rows(messages)] == list(range(1, 251))
    assert kinds(wire.pipeline(close_portal("C_3"), parse("S_4", "COMMIT"), bind("", "S_4"), execute(), SYNC)) == "312CZ"
    assert sqlstate(wire.pipeline(execute("C_3", 1), SYNC)) == "34000"


def test_a_portal_ends_with_its_implicit_transaction(wire):
    answers = wire.pipeline(parse("", "select generate_series(1, 10)"), bind("p", ""), execute("p", 3), FLUSH, execute("p", 3), SYNC)
    assert kinds(answers) == "12DDDsDDDsZ"
    assert sqlstate(wire.pipeline(execute("p", 3), SYNC)) == "34000"
    assert wire.one("select 1") == "1"


def test_flush_brings_answers_before_the_sync(wire):
    wire.send(parse("s", "select $1::int * 2"), describe_statement("s"), FLUSH)
    assert [wire.receive()[0] for _ in range(3)] == ["1", "t", "T"]
    wire.send(bind("", "s", (21,)), execute(), FLUSH)
    assert [wire.receive()[0] for _ in range(3)] == ["2", "D", "C"]
    wire.send(bind("", "s", ("no number",)), execute(), FLUSH)
    assert wire.receive()[0] == "E"
    wire.send(bind("", "s", (1,)), execute(), FLUSH)  # Skipped: only a Sync ends the error.
    assert wire.pipeline(SYNC) == [("Z", b"I")]
    assert rows(wire.pipeline(bind("", "s", (4,)), execute(), SYNC)) == [("8",)]


# --- names ----------------------------------------------------------------------------------------

def test_names_of_statements_are_each_clients_own(string):
    with_names = [TlsWire(string) for _ in range(4)]
    for index, wire in enumerate(with_names):
        assert kinds(wire.pipeline(parse("s", f"select {index}, $1::int"), SYNC)) == "1Z"
    for _ in range(3):
        for index, wire in enumerate(with_names):
            assert rows(wire.pipeline(bind("", "s", (5,)), execute(), SYNC)) == [(str(index), "5")]
    assert kinds(with_names[0].pipeline(close_statement("s"), SYNC)) == "3Z"
    assert sqlstate(with_names[0].pipeline(describe_statement("s"), SYNC)) == "26000"
    assert rows(with_names[1].pipeline(bind("", "s", (5,)), execute(), SYNC)) == [("1", "5")]
    for wire in with_names:
        wire.close()


def test_errors_about_names_are_those_of_postgres(wire):
    assert kinds(wire.pipeline(close_statement("nothing"), close_portal("nothing"), SYNC)) == "33Z"
    assert sqlstate(wire.pipeline(bind("", "nothing"), SYNC)) == "26000"
    assert sqlstate(wire.pipeline(describe_portal("nothing"), SYNC)) == "34000"
    assert kinds(wire.pipeline(parse("s", "select 1"), SYNC)) == "1Z"
    assert sqlstate(wire.pipeline(parse("s", "select 2"), SYNC)) == "42P05"
    assert rows(wire.pipeline(bind("", "s"), execute(), SYNC)) == [("1",)]
    assert sqlstate(wire.pipeline(parse("bad", "select wrong"), SYNC)) == "42703"
    assert sqlstate(wire.pipeline(bind("", "bad"), SYNC)) == "26000"


@pytest.mark.parametrize("statement", ["deallocate all", "discard all"])
def test_names_are_gone_after(wire, statement):
    assert kinds(wire.pipeline(parse("s", "select 1"), parse("u", "select 2"), SYNC)) == "11Z"
    wire.query(statement)
    assert sqlstate(wire.pipeline(bind("", "s"), SYNC)) == "26000"
    assert kinds(wire.pipeline(parse("s", "select 3"), SYNC)) == "1Z"
    assert rows(wire.pipeline(bind("", "s"), execute(), SYNC)) == [("3",)]


def test_the_unnamed_statement_is_the_clients_own(string):
    """Parse in one transaction, Bind in the next, with another client's Parse between."""
    a, b = TlsWire(string), TlsWire(string)
    a.pipeline(parse("", "select 'a'"), SYNC)
    b.pipeline(parse("", "select 'b'"), SYNC)
    assert rows(a.pipeline(bind("", ""), execute(), SYNC)) == [("a",)]
    assert rows(b.pipeline(bind("", ""), execute(), SYNC)) == [("b",)]
    b.query("select 1")  # A simple query ends the unnamed statement.
    assert sqlstate(b.pipeline(bind("", ""), SYNC)) == "26000"
    a.close()
    b.close()


# --- what a statement's text means, and when that changes -----------------------------------------

def test_the_same_text_follows_each_clients_search_path(project, crowded):
    project.query("create schema one; create schema two; create table one.t as select 1 as v; create table two.t as select 2 as v")

    def work(client):
        schema, value = ("one", "1") if client % 2 else ("two", "2")
        wire = TlsWire(crowded)
        wire.query(f"set search_path = {schema}")
        wire.pipeline(parse("s", "select v from t"), SYNC)
        for _ in range(ROUNDS):
            assert rows(wire.pipeline(bind("", "s"), execute(), SYNC)) == [(value,)]
            assert rows(wire.pipeline(parse("", "select v from t"), bind("", ""), execute(), SYNC)) == [(value,)]
        wire.close()

    in_threads(work)


def test_a_text_parsed_after_a_change_of_its_table_has_the_new_columns(project, crowded):
    """Servers that hold the statement from before say "cached plan must not change result type": a client that never
    saw the old columns must not hear of it."""
    project.query("create table t as select 1 as a")
    sql = "select * from t"
    before = [TlsWire(crowded) for _ in range(8)]
    for wire in before:
        assert rows(wire.pipeline(parse("s", sql), bind("", "s"), execute(), SYNC)) == [("1",)]
    project.query("alter table t add b text default 'new'")

    def work(client):
        wire = TlsWire(crowded)
        for _ in range(ROUNDS):
            answers = wire.pipeline(parse("", sql), bind("", ""), describe_portal(), execute(), SYNC)
            assert rows(answers) == [("1", "new")] and kinds(answers) == "12TDCZ"
        answers = wire.pipeline(parse("s", sql), describe_statement("s"), bind("", "s"), execute(), SYNC)
        assert rows(answers) == [("1", "new")]
        wire.close()

    in_threads(work, clients=12)
    # Those who prepared before may be told, as on a direct connection; what they may not see is other rows.
    for wire in before:
        answers = wire.pipeline(bind("", "s"), execute(), SYNC)
        try:
            assert rows(answers) == [("1", "new")]
        except ServerError as error:
            assert error.code == "0A000"
        wire.pipeline(close_statement("s"), SYNC)
        assert rows(wire.pipeline(parse("s", sql), bind("", "s"), execute(), SYNC)) == [("1", "new")]
        wire.close()


def test_more_statements_than_a_server_keeps(wire):
    """Far more names than any server connection's cache: all stay usable."""
    for i in range(600):
        assert kinds(wire.pipeline(parse(f"s{i}", f"select {i} + $1::int"), SYNC)) == "1Z"
    for i in [*range(0, 600, 7), *range(599, 0, -13)]:
        assert rows(wire.pipeline(bind("", f"s{i}", (1,)), execute(), SYNC)) == [(str(i + 1),)]


# --- other messages -------------------------------------------------------------------------------

def test_simple_queries_of_several_statements(wire):
    assert kinds(wire.simple("select 1; select 2, 3; ; create table t (i int)")) == "TDCTDCCZ"
    assert kinds(wire.simple("")) == "IZ"
    answers = wire.simple("insert into t values (1); select 1/0; insert into t values (2)")
    assert kinds(answers) == "CEZ" and wire.one("select count(*) from t") == "0"
    assert wire.simple("insert into t values (1); begin; insert into t values (2)")[-1] == ("Z", b"T")
    assert wire.simple("rollback; insert into t values (3)")[-1] == ("Z", b"I")
    assert wire.query("select i from t order by 1") == [("3",)]
    assert kinds(wire.pipeline(parse("", ""), bind("", ""), describe_portal(), execute(), SYNC)) == "12nIZ"


def test_copy_by_the_extended_protocol(wire):
    wire.query("create table t (i int)")
    copy = [parse("", "copy t from stdin"), bind("", ""), execute(), SYNC]
    wire.send(*copy)
    assert [wire.receive()[0] for _ in range(3)] == ["1", "2", "G"]
    # The Sync above came while the copy ran and was passed over; as libpq does, one more is sent after it.
    wire.send(("d", b"1\n2\n"), ("d", b"3\n"), ("c", b""), SYNC)
    assert kinds(wire.until_ready()) == "CZ"
    wire.send(*copy)
    assert [wire.receive()[0] for _ in range(3)] == ["1", "2", "G"]
    wire.send(("d", b"4\n"), ("f", b"thought better of it\0"), SYNC)
    assert sqlstate(wire.until_ready()) == "57014"
    assert wire.query("select i from t") == [("1",), ("2",), ("3",)]
    answers = wire.pipeline(parse("", "copy t to stdout"), bind("", ""), execute(), SYNC)
    assert kinds(answers) == "12HdddcCZ"


def test_function_calls(wire):
    oid = int(wire.one("select 'pg_catalog.int4pl(int, int)'::regprocedure::oid"))
    call = struct.pack("!IHH", oid, 0, 2) + struct.pack("!i", 2) + b"40" + struct.pack("!i", 1) + b"2" + struct.pack("!H", 0)
    wire.send(("F", call))
    assert wire.until_ready() == [("V", struct.pack("!i", 2) + b"42"), ("Z", b"I")]


def test_large_rows_and_parameters(wire):
    value = "x" * 20_000_000
    answers = wire.pipeline(parse("", "select $1::text, length($1)"), bind("", "", (value,)), execute(), SYNC)
    assert rows(answers) == [(value, str(len(value)))]


def test_notices_come_with_their_statement(wire):
    wire.query("do $$ begin for i in 1..100 loop raise notice 'n%', i; end loop; end $$")
    assert [notice["M"] for notice in wire.notices] == [f"n{i}" for i in range(1, 101)]
    wire.pipeline(parse("", "do $$ begin raise warning 'w'; end $$"), bind("", ""), execute(), SYNC)
    assert wire.notices[-1]["M"] == "w" and wire.notices[-1]["S"] == "WARNING"


def test_protocol_3_2_is_negotiated_down(string):
    """A client that asks for a newer minor version, or for options of the protocol, is told what there is."""
    with pytest.raises(AssertionError, match="'v'"):
        TlsWire(string, protocol=3 << 16 | 2, **{"_pq_.unheard_of": "1"})
