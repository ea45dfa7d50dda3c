"""Everything else a session holds: how it comes, each way it goes."""

import pytest


def pins(session):
    return session.state.get("pins", [])


@pytest.mark.parametrize("undo", ["select pg_advisory_unlock(1)", "select pg_advisory_unlock_all()", "discard all"])
def test_advisory_locks(session, undo):
    session.query("select pg_advisory_lock(1)")
    assert session.state == {"pins": ["advisory_lock"]}
    session.query(undo)
    assert pins(session) == []


def test_advisory_locks_are_counted_by_the_server(session):
    session.query("select pg_advisory_lock(1), pg_advisory_lock(1), pg_try_advisory_lock_shared(2, 3)")
    session.query("select pg_advisory_unlock(1)")
    session.query("select pg_advisory_unlock(1)")
    assert session.reports == 1 and pins(session) == ["advisory_lock"]
    session.query("select pg_advisory_unlock_shared(2, 3)")
    assert pins(session) == [] and session.reports == 2


def test_advisory_locks_of_transactions_do_not_show(session):
    session.query("select pg_advisory_xact_lock(1)")
    session.query("begin; select pg_advisory_xact_lock(1); select pg_advisory_lock(1); commit")
    assert pins(session) == ["advisory_lock"] and session.reports == 1
    session.query("begin; select pg_advisory_unlock(1); rollback")
    assert pins(session) == []


def test_an_advisory_lock_survives_a_failed_transaction(session):
    session.simple("begin; select pg_advisory_lock(1)")
    session.simple("select 1/0")
    assert session.reports == 0
    session.simple("rollback")
    assert pins(session) == ["advisory_lock"]


@pytest.mark.parametrize("undo", ["unlisten *", 'unlisten a; unlisten "B ü"', "discard all"])
def test_listen(session, undo):
    session.query('listen a; listen "B ü"')
    assert session.state == {"listen": ["a", "B ü"]}
    session.query("listen a")
    session.query("notify a")
    assert session.reports == 1
    session.query(undo)
    assert "listen" not in session.state


def test_listen_follows_the_transaction(session):
    session.query("begin; listen a; rollback")
    assert session.reports == 0
    session.query("begin; listen a; listen b; unlisten a; commit")
    assert session.state == {"listen": ["b"]}
    session.query("begin; unlisten *; rollback")
    assert session.state == {"listen": ["b"]}
    session.query("do $$ begin execute 'unlisten *'; execute 'listen c'; end $$")
    assert session.state == {"listen": ["c"]}


@pytest.mark.parametrize("make, drop", [
    ("create temp table t (id serial primary key, t text)", "drop table t"),
    ("create temp table t as select 1 as a", "drop table pg_temp.t"),
    ("select 1 as a into temp t", "drop table if exists t cascade"),
    ("create temp table t (a int) on commit delete rows", "discard temp"),
    ("create temp view v as select 1 as a", "drop view v"),
    ("create temp sequence s", "drop sequence s"),
    ("create function pg_temp.f() returns int language sql as 'select 1'", "drop function pg_temp.f()"),
    ("create type pg_temp.k as enum ('a')", "drop type pg_temp.k"),
    ("do $$ begin create temp table t (a int); end $$", "do $$ begin drop table t; end $$"),
    ("explain analyze create temp table t as select 1 as a", "discard all"),
])
def test_temporary_objects(session, make, drop):
    session.query(make)
    assert session.state == {"pins": ["temp_table"]}
    reports = session.reports
    session.query("select count(*) from plain")
    session.query("begin; discard temp; rollback")
    assert session.reports == reports
    session.query(drop)
    assert pins(session) == []


def test_temporary_tables_that_end_with_the_transaction(session):
    session.query("begin; create temp table t (a int) on commit drop; insert into t values (1); commit")
    session.query("begin; create temp table t (a int); rollback")
    session.query("begin; create temp table t (a int); drop table t; commit")
    assert session.reports == 0
    session.query("begin; create temp table k (a int); create temp table t (a int) on commit drop; commit")
    assert pins(session) == ["temp_table"]
    session.query("begin; drop table k; rollback")
    session.query("insert into k values (1)")
    assert session.reports == 1
    session.query("drop table k")
    assert pins(session) == []


@pytest.mark.parametrize("undo", ["close c", "close all", "discard all"])
def test_holdable_cursors(session, undo):
    session.query("begin; declare c cursor with hold for select * from plain; declare d cursor for select 1; commit")
    assert session.state == {"pins": ["holdable_cursor"]}
    session.query("fetch 2 from c")
    assert session.reports == 1
    session.query(undo)
    assert pins(session) == []


def test_holdable_cursors_rolled_back_or_failed(session):
    session.query("begin; declare c cursor with hold for select 1; rollback")
    session.simple("begin; declare c cursor with hold for select 1; select 1/0")
    session.simple("rollback")
    session.simple("begin; declare c cursor with hold for select 1/(id - 500) from plain; commit")
    assert session.reports == 0
    session.query('declare "Ü c" cursor with hold for select 1')
    assert pins(session) == ["holdable_cursor"]
    session.query("begin; close \"Ü c\"; commit")
    assert pins(session) == []


def test_prepared_statements_have_their_own_text(session):
    session.query("select 1; /* c */ prepare a (int, text) as select $1, $2, 'ü' \n ; prepare \"B b\" as select 2")
    assert session.state == {"prepared": [
        {"name": "a", "statement": "/* c */ prepare a (int, text) as select $1, $2, 'ü' \n ;", "from_sql": True},
        {"name": "B b", "statement": 'prepare "B b" as select 2', "from_sql": True}]}
    session.query("execute a(1, 'x')")
    assert session.reports == 1
    session.query("deallocate a")
    assert [statement["name"] for statement in session.state["prepared"]] == ["B b"]


@pytest.mark.parametrize("undo, count", [("deallocate p", 0), ("deallocate all", 1), ("discard all", 1)])
def test_prepared_statements_go(session, undo, count):
    session.query("prepare p as select 1")
    session.query(undo)
    assert session.state == ({"deallocations": count} if count else {})


def test_prepared_statements_can_be_replayed(server, session):
    session.query("do $$ begin execute 'prepare p(int) as select $1 + 1 /* \U0001f418 \" \\ */'; end $$")
    session.query("begin; prepare q as select 'rolled back, but there'; rollback")
    other = server.connect()
    for statement in session.state["prepared"]:
        other.query(statement["statement"])
    assert other.state == session.state and len(other.state["prepared"]) == 2
    assert other.one("execute p(1)") == "2"
    other.close()


def test_statements_of_the_protocol_are_not_reported_but_their_end_is(session):
    session.send(("P", b"named\0select 1\0\0\0"), ("S", b""))
    session.until_ready()
    assert session.reports == 0
    session.simple("begin; discard all")  # Refused: nothing is dropped.
    session.simple("rollback")
    assert session.reports == 0
    session.query("deallocate all")
    assert session.state == {"deallocations": 1}
    session.query("discard plans")
    session.query("do $$ begin execute 'deallocate all'; end $$")
    assert session.state == {"deallocations": 2}


@pytest.mark.parametrize("use", [
    "select nextval('serials_id_seq')", "select setval('serials_id_seq', 100)", "insert into serials (t) values ('a')",
    "insert into identities (t) values ('a')", "copy identities (t) from program 'echo x'",
    "with i as (insert into identities (t) values ('w') returning id) select * from i",
    "begin; insert into serials (t) values ('a'); rollback",
])
def test_sequences_are_a_pin_once_they_were_read(session, use):
    session.query(use)
    assert session.state == {"sequence_used": True}
    session.query(use)
    assert session.reports == 1
    session.query("select currval('serials_id_seq')" if "setval" in use else "select lastval()")
    assert session.state == {"sequence_used": True, "pins": ["sequence"]}
    session.query("discard sequences")
    assert session.state == {}


def test_sequences_that_others_use_do_not_show(session):
    assert session.fails("select currval('serials_id_seq')") == "55000"
    session.query("insert into plain values (-1, 'a'); delete from plain where id = -1")
    session.query("explain insert into identities (t) values ('a')")
    assert session.reports == 0


def test_what_stays_until_the_end_of_the_connection(session):
    session.query("load 'auto_explain'")
    assert pins(session) == ["loaded_library"]
    assert session.fails("load 'not_there'")
    session.query("select setseed(0.5)")
    assert pins(session) == ["loaded_library", "random_seed"]
    session.query("discard all")
    assert pins(session) == ["loaded_library", "random_seed"]


def test_the_setting_of_the_seed(session):
    session.query("set seed = 0.25")
    assert session.state == {"pins": ["random_seed"]}


def test_backups_slots_and_origins(session):
    session.query("select pg_backup_start('b', true)")
    assert pins(session) == ["backup"]
    session.query("select pg_backup_stop(false)")
    assert pins(session) == []
    session.query("select pg_create_logical_replication_slot('s', 'test_decoding', true)")
    assert pins(session) == ["replication_slot"]
    session.query("select pg_drop_replication_slot('s')")
    assert pins(session) == []
    session.query("select pg_replication_origin_create('o')")
    session.query("select pg_replication_origin_session_setup('o')")
    assert pins(session) == ["replication_origin"]
    session.query("select pg_replication_origin_session_reset()")
    assert pins(session) == []
    session.query("select pg_replication_origin_drop('o')")


def test_large_objects_end_with_their_transaction(session):
    session.query("begin; select lo_open(lo_create(0), 131072); commit")
    assert session.reports == 0


def test_replication_connections_say_so(server):
    wire = server.connect(replication="database")
    wire.query("select 1")
    assert wire.state == {"pins": ["replication"]}
    wire.close()
