"""Settings, role and session authorization: reported as they are, and restorable exactly."""

import pytest

SETS = [
    ("set work_mem = '64MB'", "work_mem", "65536"),
    ("set statement_timeout = '1min'", "statement_timeout", "60000"),
    ("set vacuum_cost_delay = '2500us'", "vacuum_cost_delay", "2.5"),
    ("set cpu_tuple_cost = 0.01234567890123", "cpu_tuple_cost", "0.01234567890123"),
    ("set enable_seqscan = off", "enable_seqscan", "off"),
    ("set search_path = a, \"B b\", \"$user\", 'c,d'", "search_path", 'a, "B b", "$user", "c,d"'),
    ("set search_path = ''", "search_path", '""'),
    ("set datestyle = 'german'", "DateStyle", "German, DMY"),
    ("set time zone interval '-08:30' hour to minute", "TimeZone", "<-08:30>+08:30"),
    ("set time zone 3", "TimeZone", "<+03>-03"),
    ("set timezone = 'europe/rome'", "TimeZone", "Europe/Rome"),
    ("set session characteristics as transaction isolation level serializable",
     "default_transaction_isolation", "serializable"),
    ("set session characteristics as transaction read only", "default_transaction_read_only", "on"),
    ("set xmloption = document", "xmloption", "document"),
    ("set names 'latin1'", "client_encoding", "LATIN1"),
    ("set application_name = 'it''s \"quoted\" \\ back'", "application_name", "it's \"quoted\" \\ back"),
    ("set my.var = 'ünïcödé \U0001f418 tab\there'", "my.var", "ünïcödé \U0001f418 tab\there"),
    ('set "my"."größe" = \'x\'', "my.größe", "x"),
    ("set my.empty = ''", "my.empty", ""),
    ("set intervalstyle to default; set intervalstyle = 'postgres'", "IntervalStyle", "postgres"),
    ("select set_config('lock_timeout', '7s', false)", "lock_timeout", "7000"),
    ("select sets('deadlock_timeout', '9s')", "deadlock_timeout", "9000"),
    ("do $$ begin set work_mem = '3MB'; end $$", "work_mem", "3072"),
    ("do $$ begin execute 'set work_mem = ''4MB'''; end $$", "work_mem", "4096"),
    ("prepare p as select set_config('work_mem', '5MB', false); execute p; deallocate p", "work_mem", "5120"),
    ("set log_statement = 'all'", "log_statement", "all"),
    ("set tcp_keepalives_idle = 77", "tcp_keepalives_idle", "77"),
]


@pytest.mark.parametrize("sql, name, value", SETS, ids=[sql[:50] for sql, _, _ in SETS])
def test_set_is_reported_restored_elsewhere_and_reset(server, session, sql, name, value):
    session.simple(sql)
    assert session.state == {"settings": {name: value}}
    assert session.reports == 1
    other = server.connect()
    escaped = [text.replace("\\", "\\\\").replace("'", "\\'") for text in (name, value)]
    other.query("select set_config(E'%s', E'%s', false)" % tuple(escaped))
    assert other.state == session.state
    show = "select current_setting('%s')" % name
    assert other.one(show) == session.one(show)
    other.close()
    session.query("reset " + ".".join(f'"{part}"' for part in name.split(".")))
    assert session.state == ({"known": [name]} if "." in name else {})


@pytest.mark.parametrize("undo", ["reset all", "discard all", "set work_mem to default", "reset work_mem"])
def test_every_way_back_shows(session, undo):
    session.query("set work_mem = '1MB'")
    assert session.state
    session.query(undo)
    assert "settings" not in session.state


def test_what_is_not_of_the_session_is_not_reported(session):
    for sql in ["begin; set local work_mem = '1MB'; commit",
                "begin; set work_mem = '1MB'; rollback",
                "begin; savepoint s; set work_mem = '1MB'; rollback to s; commit",
                "set work_mem = '1MB'; select 1/0",
                "select scoped()",
                "begin isolation level serializable read only; commit",
                "begin; set transaction isolation level repeatable read; select 1; commit",
                "set transaction_isolation = 'serializable'",
                "select set_config('work_mem', '1MB', true)",
                "show work_mem", "explain analyze select 1", "vacuum plain"]:
        session.simple(sql)
    assert session.state == {} and session.reports == 0


@pytest.mark.parametrize("sql", [
    "set local my.var = 'x'", "begin; set local my.var = 'x'; commit", "begin; set my.var = 'x'; rollback",
    "select set_config('my.var', 'x', true)", "reset my.var", "set my.var = 'x'; reset all",
    "do $$ begin perform set_config('my.var', 'x', true); end $$"])
def test_custom_settings_that_were_named_once_are_known(session, sql):
    assert session.one("select current_setting('my.var', true)") is None
    session.simple(sql)
    assert session.state == {"known": ["my.var"]}
    assert session.one("select current_setting('my.var', true)") == ""
    session.query("set my.var = 'y'")
    assert session.state == {"settings": {"my.var": "y"}}


def test_a_savepoint_undoes_only_what_came_after(session):
    session.query("begin; set work_mem = '1MB'; savepoint s; set work_mem = '2MB'; rollback to s; commit")
    assert session.state == {"settings": {"work_mem": "1024"}}


def test_set_local_over_set_leaves_the_set(session):
    session.query("begin; set work_mem = '1MB'; set local work_mem = '2MB'; commit")
    assert session.state == {"settings": {"work_mem": "1024"}}


def test_startup_and_role_settings_are_not_of_the_session(server):
    wire = server.connect(options="-c work_mem=2MB -c my.own=x", application_name="me")
    wire.query("alter role postgres set statement_timeout = '5min'")
    try:
        later = server.connect(options="-c work_mem=2MB")
        later.query("set work_mem = '1MB'")
        later.query("reset all")
        assert later.state == {} and later.one("show work_mem") == "2MB"
        later.close()
    finally:
        wire.query("alter role postgres reset all")
    assert wire.state == {} and wire.reports == 0
    wire.close()


def test_a_reload_is_not_of_the_session(session):
    session.query("set work_mem = '9MB'")
    session.query("alter system set work_mem = '7MB'")
    session.query("alter system set commit_delay = 10")
    session.query("select pg_reload_conf()")
    try:
        while session.one("show commit_delay") != "10":
            pass
        assert session.state == {"settings": {"work_mem": "9216"}} and session.reports == 1
    finally:
        session.query("alter system reset all")
        session.query("select pg_reload_conf()")


def test_roles(session):
    session.query("set role other")
    assert session.state == {"role": "other"}
    session.query("set role postgres")
    assert session.state == {"role": "postgres"}
    session.query("set role none")
    assert session.state == {}
    session.query("set session authorization app")
    assert session.state == {"session_authorization": "app"}
    session.query("set role other")
    assert session.state == {"session_authorization": "app", "role": "other"}
    session.query("reset session authorization")
    assert session.state == {}
    session.query("begin; set local role other; commit")
    session.query("begin; set role other; rollback")
    assert session.state == {}
    session.query("set work_mem = '1MB'; set role other")
    assert session.state == {"settings": {"work_mem": "1024"}, "role": "other"}
    session.query("discard all")
    assert session.state == {"deallocations": 1}


def test_role_none_against_a_role_setting(server, session):
    session.query("alter role app set role = 'other'")
    try:
        app = server.connect(user="app")
        app.query("set role none")
        assert app.state == {"role": "none"}
        app.query("reset role")
        assert app.state == {}
        app.close()
    finally:
        session.query("alter role app reset role")


def test_what_the_login_role_may_not_set_is_a_pin(app, session):
    app.query("select admin_sets()")
    assert app.state == {"pins": ["privileged_setting"]}
    app.query("set work_mem = '1MB'")
    assert app.state == {"settings": {"work_mem": "1024"}, "pins": ["privileged_setting"]}
    app.query("reset all")  # A setting for superusers only stays.
    assert app.one("show log_min_duration_statement") in ("-1", "1234ms")
    assert ("pins" in app.state) == (app.one("show log_min_duration_statement") != "-1")
    session.query("select admin_sets()")
    assert session.state == {"settings": {"log_min_duration_statement": "1234"}}


def test_the_setting_itself_is_for_the_start_only(session, server):
    assert session.fails("set halogen.report_session = off") == "55P02"
    silent = server.connect(**{"halogen.report_session": "off"})
    silent.query("set work_mem = '1MB'; select pg_advisory_lock(3)")
    assert silent.reports == 0
    silent.close()
