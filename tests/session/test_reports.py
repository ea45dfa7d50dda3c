"""When a report is sent: before ReadyForQuery, once, outside of transactions, only when it is news."""

import time

from session.wire import extended, kinds


def test_nothing_is_sent_when_nothing_changed(session):
    for i in range(1000):
        session.query(f"select t from plain where id = {i}")
    for i in range(200):
        session.extended("select 1", "update plain set t = t where id = 1")
        session.query("begin; select 1; commit")
        session.query("set local work_mem = '1MB'")
    assert session.reports == 0
    session.query("set work_mem = '1MB'")
    for i in range(200):
        session.query("set work_mem = '1MB'")
        session.query("select 1")
    assert session.reports == 1


def test_it_comes_right_before_ready_for_query(session):
    assert kinds(session.simple("set work_mem = '1MB'")) == "C*Z"
    assert kinds(session.simple("set work_mem = '2MB'; select 1; reset work_mem; set work_mem = '3MB'")) == "CTDCCC*Z"
    assert kinds(session.extended("reset work_mem")) == "12C*Z"


def test_nothing_is_sent_inside_a_transaction_block(session):
    assert kinds(session.simple("begin")) == "CZ"
    assert kinds(session.simple("set work_mem = '1MB'")) == "CZ"
    assert kinds(session.simple("listen a; select pg_advisory_lock(1)")) == "CTDCZ"
    assert kinds(session.extended("prepare p as select 1")) == "12CZ"
    assert kinds(session.simple("commit")) == "C*Z"
    assert set(session.state) == {"settings", "listen", "prepared", "pins"}


def test_chained_transactions_and_one_begun_in_the_same_query(session):
    assert kinds(session.simple("begin; set work_mem = '1MB'; commit and chain")) == "CCCZ"
    assert kinds(session.simple("rollback")) == "C*Z"
    assert kinds(session.simple("set work_mem = '2MB'; begin")) == "CCZ"
    assert kinds(session.simple("commit")) == "C*Z"
    assert session.state == {"settings": {"work_mem": "2048"}}


def test_a_failed_transaction_block_ends_with_rollback_or_commit(session):
    for end in "rollback", "commit":
        session.simple("begin; prepare %s as select 1" % end.replace("commit", "com"))
        session.simple("nonsense")
        assert kinds(session.simple("select 1")) == "EZ"
        assert kinds(session.simple(end)) == "C*Z"


def test_errors_report_what_stays(session):
    assert kinds(session.simple("select pg_advisory_lock(1); select 1/0")) == "TDCE*Z"
    assert session.state == {"pins": ["advisory_lock"]}
    assert kinds(session.simple("set work_mem = '1MB'; select 1/0")) == "CEZ"


def test_pipelines(session):
    assert kinds(session.extended("set work_mem = '1MB'", "select 1", "listen x")) == "12C12DC12C*Z"
    assert kinds(session.extended("set work_mem = '2MB'", "select 1/0", "select 1"))[-2:] == "EZ"
    assert session.state == {"settings": {"work_mem": "1024"}, "listen": ["x"]}
    session.send(*extended("reset all"), ("S", b""), *extended("unlisten *"), ("S", b""),
                 *extended("select 1"), ("S", b""))
    assert kinds(session.until_ready()) == "12C*Z"
    assert kinds(session.until_ready()) == "12C*Z"
    assert kinds(session.until_ready()) == "12DCZ"
    assert session.state == {}


def test_a_transaction_that_ends_inside_a_pipeline(session):
    reports = kinds(session.extended("begin", "set work_mem = '1MB'", "commit", "select 1", "listen a"))
    assert reports.replace("*", "") == "12C12C12C12DC12CZ" and reports.endswith("*Z")
    assert session.state == {"settings": {"work_mem": "1024"}, "listen": ["a"]}


def test_flush_is_not_an_end(session):
    session.send(*extended("set work_mem = '1MB'"), ("H", b""))
    assert [session.receive()[0] for _ in range(3)] == ["1", "2", "C"]
    session.send(("S", b""))
    assert kinds(session.until_ready()) == "*Z"


def test_procedures_that_commit(session):
    session.query("create procedure steps() language plpgsql as $$ begin "
                  "set work_mem = '1MB'; commit; set work_mem = '2MB'; rollback; "
                  "create temp table steps (a int); commit; perform pg_advisory_lock(5); end $$")
    assert kinds(session.simple("call steps()")) == "C*Z"
    assert session.state == {"settings": {"work_mem": "1024"}, "pins": ["advisory_lock", "temp_table"]}
    session.query("drop procedure steps()")


def test_prepared_transactions(session):
    assert kinds(session.simple("begin; set work_mem = '1MB'; prepare transaction 'x'")) == "CCC*Z"
    session.query("rollback prepared 'x'")
    assert session.state == {"settings": {"work_mem": "1024"}}


def test_function_calls_of_the_protocol(session):
    oid = int(session.one("select 'pg_advisory_lock(bigint)'::regprocedure::oid"))
    session.send(("F", oid.to_bytes(4, "big") + b"\0\1\0\1" + b"\0\1" + b"\0\0\0\x08" + b"\0" * 8 + b"\0\1"))
    assert kinds(session.until_ready()) == "V*Z"
    assert session.state == {"pins": ["advisory_lock"]}


def test_other_parameters_are_not_disturbed(session):
    messages = session.simple("set application_name = 'x'")
    assert [body.split(b"\0")[0] for kind, body in messages if kind == "S"] == [b"halogen.session", b"application_name"]


def test_a_cancel_does_not_hurt_it(server, session):
    other = server.connect()
    session.send(("Q", b"select pg_advisory_lock(9); select pg_sleep(30)\0"))
    while other.one(f"select query like '%pg_sleep%' and wait_event = 'PgSleep' from pg_stat_activity "
                    f"where pid = {session.pid}") != "t":
        time.sleep(0.01)
    other.query(f"select pg_cancel_backend({session.pid})")
    assert kinds(session.until_ready()).endswith("E*Z")
    assert session.state == {"pins": ["advisory_lock"]}
    other.close()


def test_a_locked_catalog_is_not_waited_for(server, session):
    other = server.connect()
    session.query("select 1")
    other.query("begin; lock pg_depend in access exclusive mode")
    session.query("set work_mem = '1MB'")
    assert session.state == {"settings": {"work_mem": "1024"}}
    other.query("rollback")
    session.query("create temp table t (a int)")
    other.query("begin; lock pg_depend in access exclusive mode")
    session.query("do $$ begin end $$")
    assert session.state == {"pins": ["unknown"]}
    assert session.one("select 1") == "1"
    other.query("rollback")
    session.query("select 1")
    assert session.state == {"settings": {"work_mem": "1024"}, "pins": ["temp_table"]}
    other.close()


def test_too_much_to_tell_is_a_pin(session):
    session.query("prepare p as select '%s'" % ("x" * 300_000))
    assert session.state == {"pins": ["too_large"]}
    session.query("deallocate p")
    assert session.state == {}


def test_client_encodings_do_not_matter(session):
    session.query("set my.text = 'ü€\U0001f418'; set client_encoding = 'LATIN1'")
    assert session.state == {"settings": {"client_encoding": "LATIN1", "my.text": "ü€\U0001f418"}}
    session.query("set client_encoding = 'SJIS'; set my.other = 'x'")
    assert session.state["settings"]["my.text"] == "ü€\U0001f418"


def test_other_server_encodings(server):
    latin = server.connect(database="latin", client_encoding="UTF8")
    latin.query("set my.text = 'grüße'; listen \"ß\"")
    assert latin.state == {"settings": {"my.text": "grüße"}, "listen": ["ß"]}
    latin.close()
    plain = server.connect(database="ascii")
    plain.query("set my.text = 'grüße'")
    assert plain.state == {"settings": {"my.text": "grüße"}}
    plain.query("set my.text = E'\\xff'")
    assert plain.state == {"pins": ["unknown"]}
    plain.query("reset my.text")
    assert plain.state == {"known": ["my.text"]}
    plain.close()


def test_parallel_workers_say_nothing(session):
    session.query("set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;"
                  "set force_parallel_mode = on")
    assert session.reports == 1
    assert session.one("select count(*) from plain") == "1000"
    assert session.reports == 1
