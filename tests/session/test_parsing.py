"""What a statement means is settled at its Parse: which settings count, how they are told and put in force; and the names
by which SQL finds statements of the protocol."""

import json
import pathlib
import re

import pytest
from session.restoring import quoted, restore_state
from session.wire import ServerError, extended, kinds, rows

HEADER = pathlib.Path(__file__).resolve().parents[2] / "src/protocol/parse_settings.h"

# Settings and a statement whose text they change the meaning of.
COUNT = [
    ("TimeZone", "UTC", "Asia/Tokyo", "select '2024-06-01 12:00'::timestamptz at time zone 'UTC'"),
    ("DateStyle", "ISO, MDY", "ISO, DMY", "select '01/02/2024'::date - '2024-01-01'::date"),
    ("IntervalStyle", "postgres", "sql_standard", "select extract(epoch from '-1 2:03:04'::interval)"),
    ("standard_conforming_strings", "on", "off", r"select length('a\nb')"),
    ("transform_null_equals", "off", "on", "select null = null"),
    ("array_nulls", "on", "off", "select ('{NULL,a}'::text[])[1] is null"),
    ("client_encoding", "UTF8", "LATIN1", "select length('é')"),
]


def set_to(name, value):
    return f"set {name} = '{value}'"


def parse(name, sql):
    return "P", name.encode() + b"\0" + sql.encode() + b"\0\0\0"


def run(name):
    return ("B", b"\0" + name.encode() + b"\0\0\0\0\0\0\0"), ("E", b"\0\0\0\0\0"), ("S", b"")


def value_of(wire, name):
    wire.send(*run(name))
    return rows(wire.until_ready())[0][0]


def prepare(wire, name, sql):
    wire.send(parse(name, sql), ("S", b""))
    return kinds(wire.until_ready())


def own(wire, what, *items):
    return f"set halogen.{what} to " + ", ".join(map(quoted, [wire.a_pass(), *items]))


@pytest.mark.parametrize("name, one, two, sql", COUNT, ids=[row[0] for row in COUNT])
def test_a_text_parsed_anew_under_its_settings_means_the_same(session, name, one, two, sql):
    session.query(set_to(name, one))
    prepare(session, "before", sql)
    first = value_of(session, "before")
    session.query(set_to(name, two))
    prepare(session, "otherwise", sql)
    assert value_of(session, "otherwise") != first
    now = session.one(f"show {name}")
    session.send(*extended(own(session, "parse", name, one)), parse("again", sql), *extended("set halogen.parse to default"),
                 ("S", b""))
    session.until_ready()
    assert value_of(session, "again") == first
    assert session.one(f"show {name}") == now


def test_settings_that_are_not_named_are_taken_back_for_it(session):
    session.query("set TimeZone = 'Asia/Tokyo'; set application_name = 'kept'")
    session.send(*extended(own(session, "parse")), parse("s", COUNT[0][3]), *extended("show application_name"),
                 *extended("set halogen.parse to default"), ("S", b""))
    assert rows(session.until_ready()) == [("kept",)]
    assert value_of(session, "s") == "2024-06-01 12:00:00" and session.one("show timezone") == "Asia/Tokyo"


@pytest.mark.parametrize("end", ["failed", "rolled back to a savepoint"])
def test_what_fails_puts_them_back(session, end):
    session.query("set TimeZone = 'Asia/Tokyo'")
    if end != "failed":
        session.query("begin; savepoint s")
    session.send(*extended(own(session, "parse", "TimeZone", "UTC")), parse("bad", "selec"), ("S", b""))
    assert "E" in kinds(session.until_ready())
    if end != "failed":
        session.query("rollback to s")
    assert session.one("show timezone") == "Asia/Tokyo"
    session.simple("rollback")


def test_what_a_transaction_has_changed_is_told_before_its_first_statement(session):
    session.query("set TimeZone = 'UTC'")
    prepare(session, "a", "select 1")
    assert session.told == []
    session.query("begin; set TimeZone = 'Asia/Tokyo'; set local application_name = 'x'")
    prepare(session, "b", "select 1")
    prepare(session, "c", "select 1")
    session.query("rollback")
    prepare(session, "d", "select 1")
    told = [json.loads(value) for name, value in session.told if name == "halogen.parse"]
    assert told == [{"TimeZone": "Asia/Tokyo"}, {}]


def test_settings_of_functions_are_not_the_sessions(session):
    session.query("begin; select scoped(), sets('my.x', '1')")
    prepare(session, "a", "select scoped()")
    session.query("commit")
    assert session.told == []


@pytest.mark.parametrize("name, one, two, sql", COUNT[:6], ids=[row[0] for row in COUNT[:6]])
def test_prepare_keeps_the_settings_it_was_made_under(server, session, name, one, two, sql):
    session.query(set_to(name, one))
    session.query("prepare p as " + sql)
    first = session.one("execute p")
    session.query(set_to(name, two))
    other = server.connect()
    restore_state(other, session.state)
    assert other.one("execute p") == first
    assert other.state == session.state
    other.close()


def harmless():
    listed = HEADER.read_text().split("#define HALOGEN_HARMLESS_AT_PARSE")[1]
    patterns = re.findall(r'"([^"]+)"', re.sub(r"/\*.*?\*/", "", listed))
    return re.compile("|".join(re.escape(one).replace(r"\*", ".*") for one in patterns))


LITERALS = """select '01/02/2024 03:04:05.678'::timestamptz, '1 day -02:03'::interval, '{NULL,a}'::text[], 1.10::float8,
 E'\\\\x61'::bytea, '1,234.50'::money, '<a/>'::text, 'pg_class'::regclass::oid, null = null, U&'\\0061', 'a\\b', 12345678901::numeric,
 '[1,2)'::int4range, '{"a": 1}'::jsonb, 'the fat cats'::tsvector, B'101', interval '1-2', '12:00'::time, 'now'::text"""


def test_settings_that_are_listed_as_harmless_are(session):
    """Each is given another value; a statement that is parsed under that means what it does without."""
    session.query("prepare usual as " + LITERALS)
    usual = session.query("execute usual")
    names = [row for row in session.query(
        "select name, vartype, setting, min_val, max_val, enumvals from pg_settings where context in ('user', 'superuser')")
        if harmless().fullmatch(row[0])]
    assert len(names) > 80
    for name, kind, setting, low, high, choices in names:
        values = {"bool": ["on", "off"], "enum": choices.strip("{}").split(",") if choices else [],
                  "integer": [low, high], "real": [low, high]}.get(kind, ["x"])
        for value in (value for value in values if value != setting):
            try:
                session.query(f"set {name} = '{value}'; prepare other as {LITERALS}")
            except ServerError:
                continue
            finally:
                session.simple(f"reset {name}")
            assert session.query("execute other") == usual, name
            session.query("deallocate other")


# ---- Names ----

@pytest.mark.parametrize("sql", ["execute mine('xyz')", "select 1; execute mine('xyz')", "/* it's */ EXECUTE -- so\n mine('xyz')",
                                 "create temp table t as execute mine('xyz'); select * from t; drop table t"])
def test_sql_finds_a_statement_by_its_clients_name(session, sql):
    prepare(session, "halogen.7", "select length($1::text)")
    session.query(own(session, "names", "mine", "halogen.7", ""))
    assert session.query(sql)[-1] == ("3",)
    assert "Result" in session.query("explain execute mine('x')")[0][0]


def test_a_statement_that_cannot_be_run_any_more_fails_as_postgres_would(session):
    session.query(own(session, "names", "mine", "", "0A000cached plan must not change result type"))
    messages = session.simple("execute mine")
    body = dict(messages)["E"]
    assert b"C0A000\0" in body and b"RRevalidateCachedQuery\0" in body and b"Fplancache.c\0" in body


def test_deallocate_takes_the_name_and_leaves_the_statement(session):
    prepare(session, "halogen.7", "select 7")
    session.query(own(session, "names", "mine", "halogen.7", ""))
    assert session.fails("prepare mine as select 1") == "42P05"
    session.query("select 1; deallocate mine")
    assert session.told == [("halogen.deallocated", "mine")]
    assert session.fails("execute mine") == "26000" and value_of(session, "halogen.7") == "7"
    session.query("deallocate \"halogen.7\"")
    assert session.told[1:] == [("halogen.deallocated", "halogen.7")]


def test_an_identity_column_that_is_added_has_used_its_sequence(session):
    session.query("create table filled as select 1 as a; alter table filled add id int generated always as identity")
    assert session.state.get("sequence_used")
    session.query("drop table filled")
