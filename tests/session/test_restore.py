"""SET halogen.session: the connection becomes the session that it describes, in every respect."""

import psycopg2
import pytest

from session.restoring import operations_of, quoted, restore, restore_fails, restore_state, statement
from session.wire import SECRET, extended, kinds

ALL_SETTINGS = ("select name, setting, source, reset_val, sourcefile, sourceline from pg_settings "
                "where name not like 'plpgsql.%' order by name")


def compare(one, other):
    """All of what settings show."""
    expected, found = other.query(ALL_SETTINGS), one.query(ALL_SETTINGS)
    assert [row for row in found if row not in expected] == [row for row in expected if row not in found]


STATES = {
    "one": ["set work_mem = '5MB'"],
    "typical": ["set search_path = app, public", "set timezone = 'Europe/Rome'", "set statement_timeout = '7s'"],
    "every type": ["set enable_seqscan = off", "set work_mem = '5MB'", "set cpu_tuple_cost = 0.01234567890123",
                   "set search_path = a, \"B b\", '$user', 'c,d'", "set xmloption = document", "set datestyle = 'german'"],
    "custom": ["set my.var = 'ünïcödé \U0001f418 \\ '' \" tab\there'", 'set "my"."größe" = \'x\'', "set my.empty = ''"],
    "encoding": ["set client_encoding = 'LATIN1'", "set my.text = 'x'"],
    "roles": ["set session authorization app", "set role other", "set work_mem = '1MB'"],
    "role none": ["set role none"],
    "superuser's": ["set log_statement = 'all'", "set log_min_duration_statement = 5000"],
    "channels": ["listen a", "listen \"B ü\""],
    "statements": ["prepare p(int) as select $1 + 1 as \"ü\" /* ' \\ \U0001f418 */", "prepare \"Q q\" as select 2"],
    "all": ["set work_mem = '5MB'", "set role app", "listen c", "prepare r as select 3", "set application_name = 'me'"],
}
STARTUPS = [
    {},
    {"application_name": "start", "DateStyle": "ISO", "TimeZone": "Asia/Tokyo", "client_encoding": "UTF8"},
    {"options": "-c work_mem=2MB --statement-timeout=3s -c my.var=of\\ start -cgeqo=off", "extra_float_digits": "3"},
    {"application_name": "other", "search_path": "x, public", "datestyle": "German", "ignore_system_indexes": "off"},
]


@pytest.mark.parametrize("startup", STARTUPS, ids=lambda startup: ",".join(startup))
@pytest.mark.parametrize("name", STATES)
def test_it_is_as_a_private_session(server, session, name, startup):
    private = server.connect(**startup)
    for sql in STATES[name]:
        private.simple(sql)
    restore_state(session, private.state, startup)
    assert session.state == private.state
    session.query("select 1")
    compare(session, private)
    show = "select name, setting from pg_settings where source = 'client' order by name"
    for wire in session, private:
        wire.query("reset all")
    compare(session, private)
    assert session.query(show) == private.query(show)
    assert session.state == private.state
    private.close()


def test_from_each_state_to_each_other_and_to_none(server, session):
    privates = []
    for i, sqls in enumerate(STATES.values()):
        startup = STARTUPS[i % len(STARTUPS)]
        private = server.connect(**startup)
        for sql in sqls:
            private.simple(sql)
        privates.append((private, startup))
    fresh = server.connect()
    for step in range(1, len(privates)):
        for i in range(len(privates)):
            private, startup = privates[i * step % len(privates)]
            restore_state(session, private.state, startup)
            assert session.state == private.state
            compare(session, private)
        restore(session)
        assert session.state == {}
        compare(session, fresh)
    for private, _ in [*privates, (fresh, {})]:
        private.close()


def test_a_typical_restore_changes_only_what_differs(session):
    settings = [("setting", "work_mem", "1024"), ("setting", "TimeZone", "Europe/Rome")]
    restore(session, *settings)
    assert session.reports == 1
    messages = session.simple(statement(session, *settings))
    assert kinds(messages) == "CZ" and not [kind for kind, _ in messages if kind == "S"]
    session.query("set work_mem = '2MB'")
    assert kinds(session.simple(statement(session, *settings))) == "C*Z"
    assert session.one("show work_mem") == "1MB"


def test_reset_goes_to_the_startup_packet(server, session):
    startup = [("startup", "application_name", "start"), ("startup", "work_mem", "2MB")]
    restore(session, *startup, ("setting", "work_mem", "3072"), ("setting", "application_name", "set"))
    assert session.query("show work_mem; show application_name") == [("3MB",), ("set",)]
    session.query("reset work_mem")
    session.query("discard all")
    assert session.query("show work_mem; show application_name") == [("2MB",), ("start",)]
    restore(session, startup[0])
    assert session.query("show work_mem; show application_name") == [("4MB",), ("start",)]
    assert session.query("select source, reset_val from pg_settings where name = 'work_mem'") == [("default", "4096")]


def test_reported_parameters_are_told(session):
    def told(sql):
        return {body.split(b"\0")[0]: body.split(b"\0")[1] for kind, body in session.simple(sql) if kind == "S"}
    assert told(statement(session, ("startup", "TimeZone", "Asia/Tokyo")))[b"TimeZone"] == b"Asia/Tokyo"
    assert told(statement(session, ("startup", "TimeZone", "Asia/Tokyo"))) == {}
    after = told(statement(session, ("setting", "application_name", "x")))
    assert after[b"application_name"] == b"x" and after[b"TimeZone"] != b"Asia/Tokyo"
    assert told(statement(session))[b"application_name"] == b""


def test_roles_databases_and_files_are_below_the_startup_packet(server):
    admin = server.connect()
    admin.query("alter role app set work_mem = '11MB'; alter role app set datestyle = 'SQL, DMY';"
                "alter role app set my.role = 'r'; alter role app set role = 'other'")
    try:
        startup = {"work_mem": "12MB", "DateStyle": "ISO", "my.role": "mine", "my.other": "x"}
        base, private, wire = server.connect("app"), server.connect("app", **startup), server.connect("app")
        given = [("default", name, value) for name, value in wire.defaults.items()]
        assert wire.defaults == {"DateStyle": "SQL, DMY", "my.role": "r", "role": "other", "work_mem": "11264"}
        compare(wire, base)
        restore(wire, *given, *operations_of({}, startup))
        compare(wire, private)
        names = "select current_user, session_user, current_setting('my.role')"
        assert wire.query(names) == private.query(names) == [("other", "app", "mine")]
        restore(wire, *given, ("setting", "work_mem", "1024"), ("role", "none"))
        assert wire.query(names + ", current_setting('work_mem')") == [("app", "app", "r", "1MB")]
        restore(wire, *given)
        compare(wire, base)
        assert wire.query(names) == [("other", "app", "r")]
        restore(wire, *given, ("startup", "role", "app"))
        assert wire.query(names) == [("app", "app", "r")] and wire.state == {}
        # Another session's, which began when the role had less.
        restore(wire, ("default", "work_mem", "2048"))
        assert wire.query("select current_user, current_setting('work_mem'), current_setting('DateStyle')") == [
            ("app", "2MB", "ISO, MDY")]
        restore(wire, *given)
        compare(wire, base)
        for one in base, private, wire:
            one.close()
    finally:
        admin.query("alter role app reset all")
        admin.close()


def test_a_reload_meanwhile_is_seen_when_the_startup_setting_goes(server, session):
    other = server.connect()
    restore(session, ("startup", "work_mem", "2MB"), ("startup", "my.filed", "x"))
    other.query("alter system set work_mem = '9MB'")
    other.query("set my.filed = 'q'")  # Else there is no such name.
    other.query("alter system set my.filed = 'y'")
    other.query("alter system set commit_delay = 10")
    other.query("select pg_reload_conf()")
    try:
        while session.one("show commit_delay") != "10":
            pass
        assert session.one("show work_mem") == "2MB"
        restore(session)
        assert session.query("show work_mem; show my.filed") == [("9MB",), ("y",)]
        fresh = server.connect()
        compare(session, fresh)
        fresh.close()
    finally:
        other.query("alter system reset all")
        other.query("select pg_reload_conf()")
        while other.one("show commit_delay") != "0":
            pass
        other.close()


def test_custom_settings_of_another_session_are_not_there(session):
    exists = "select current_setting('my.a', true), current_setting('my.b', true), current_setting('my.c', true)"
    session.query("set my.b = 'x'; set local my.a = 'y'")
    assert session.state == {"settings": {"my.b": "x"}, "known": ["my.a"]}
    restore(session, ("known", "my.c"))
    assert session.query(exists) == [(None, None, "")] and session.state == {"known": ["my.c"]}
    assert session.fails("show my.b") == "42704"
    restore(session, ("setting", "my.a", "z"), ("startup", "my.c", "s"))
    assert session.query(exists) == [("z", None, "s")] and session.state == {"settings": {"my.a": "z"}}
    restore(session)
    assert session.query(exists) == [(None, None, None)] and session.state == {}


def test_the_order_that_lookups_need_stays(session):
    for i in range(60):
        names = [f"{c}{i % 7}.{c}" for c in "azAZ_éü"]
        for name in names:
            session.query("set \"%s\".\"%s\" = '%s'" % (*name.split("."), i))
        assert all(session.one(f"select current_setting('{name}')") == str(i) for name in names)
        session.query("set work_mem = '1MB'; set zero_damaged_pages = off; show all")
        restore(session)
        assert session.one("select current_setting('z1.z', true)") is None
    session.query("set force_parallel_mode = on; set parallel_setup_cost = 0; set min_parallel_table_scan_size = 0")
    assert session.one("select count(*) from plain") == "1000"
    assert session.one("show zero_damaged_pages") == "off"


def test_sequences_of_another_session_are_not_there(session):
    session.query("insert into serials (t) values ('a'); select lastval()")
    assert session.state == {"sequence_used": True, "pins": ["sequence"]}
    restore(session)
    assert session.state == {}
    assert session.fails("select currval('serials_id_seq')") == "55000"
    assert session.fails("select lastval()") == "55000"


def test_objects_of_another_session_are_not_there(session):
    session.query("prepare p as select 1; listen a; select pg_advisory_lock(1); create temp table t (a int);"
                  "declare c cursor with hold for select 1")
    assert set(session.state["pins"]) == {"advisory_lock", "temp_table", "holdable_cursor"}
    restore(session)
    assert session.state == {}
    assert session.query("select count(*) from pg_locks where locktype = 'advisory'; "
                         "select count(*) from pg_cursors; select count(*) from pg_listening_channels()") == [("0",)] * 3
    assert session.fails("select * from pg_temp.t") == "42P01"
    session.query("create temp table t (a int)")
    assert session.state == {"pins": ["temp_table"]}


def test_statements_of_the_protocol_are_kept(session):
    session.send(("P", b"hg_1\0select 41 + $1::int\0\0\0"), ("S", b""))
    session.until_ready()
    session.query("prepare p as select 1")
    restore(session, ("prepare", "prepare q as select 2"))
    assert session.query("select name, from_sql from pg_prepared_statements order by 1") == [("hg_1", "f"), ("q", "t")]
    assert session.one("execute hg_1(1)") == "42"
    assert "deallocations" not in session.state


def test_notifications_arrive_after_a_restore(server, session):
    restore(session, ("listen", "a"), ("listen", "B ü"))
    other = server.connect()
    other.query("notify a, 'one'; notify \"B ü\", 'two'")
    messages = [session.receive() for _ in range(2)]
    assert [kind for kind, _ in messages] == ["A", "A"]
    assert b"one" in messages[0][1] and b"two" in messages[1][1]
    restore(session, ("listen", "B ü"))
    other.query("notify a, 'three'; notify \"B ü\", 'four'")
    assert b"four" in session.receive()[1]
    other.close()


def prepared(name, text):
    return {"name": name, "statement": text, "from_sql": True}


def test_a_statement_that_cannot_be_prepared_stays_what_it_was(session):
    good, late = prepared("g", "prepare g as select 1"), prepared("x", "prepare x as select a + 1 from gone;")
    restore(session, ("setting", "work_mem", "1024"), ("prepare", late["statement"]), ("prepare", "prepare x as select 1"),
            ("prepare", good["statement"]), ("prepare", "prepare g as select 2"), ("listen", "a"))
    state = {"settings": {"work_mem": "1024"}, "prepared": [good, late], "listen": ["a"]}
    assert session.state == state
    assert session.one("execute g") == "1"
    assert session.fails("execute x") == "42P01"
    assert session.fails("prepare x as select 3") == "42P05"
    assert session.fails("begin; execute x") == "42P01" and session.query("rollback") == []
    assert session.state == state
    restore_state(session, session.state)
    assert session.state == state
    session.query("create temp table gone as select 41 a")
    assert session.one("explain (costs off) execute x") == "Seq Scan on gone"
    assert session.one("execute x") == "42"
    assert session.fails("prepare x as select 3") == "42P05"
    assert session.state["prepared"] == [good, late]


@pytest.mark.parametrize("execute, answer", [("execute x", "12DCZ"), ("explain (costs off) execute x", "12DCZ"),
                                             ("create table public.made as execute x", "12CZ")])
def test_a_late_statement_is_there_for_the_extended_protocol(session, execute, answer):
    restore(session, ("prepare", "prepare x as select a from gone"))
    session.query("create temp table gone as select 41 a")
    assert kinds(session.extended(execute)) == answer
    assert session.one("execute x") == "41"
    session.query("drop table if exists public.made")


@pytest.mark.parametrize("undo, count", [("deallocate x", 0), ("deallocate all", 1), ("discard all", 1)])
def test_a_late_statement_can_be_deallocated(session, undo, count):
    restore(session, ("prepare", "prepare x as select * from gone"))
    messages = session.simple(undo)
    assert [body for kind, body in messages if kind == "C"] == [undo.upper().encode().replace(b" X", b"") + b"\0"]
    assert session.state == ({"deallocations": count} if count else {})
    assert session.fails("execute x") == session.fails("deallocate x") == "26000"
    session.query("prepare x as select 7")
    assert session.one("execute x") == "7"


def test_a_late_statement_goes_with_its_session(session):
    restore(session, ("prepare", "prepare x as select * from gone"))
    restore(session)
    assert session.state == {}
    assert session.fails("execute x") == "26000"


@pytest.mark.parametrize("text", ["select 1", "create table injected (a int)", "prepare p as select 1; drop table plain",
                                  "", "deallocate all", "begin", "prepare", "set work_mem = '1MB'"])
def test_only_prepare_is_run(session, text):
    restore(session, ("prepare", text))
    assert session.state == {}
    assert session.one("select count(*) from pg_class where relname = 'injected'") == "0"
    assert session.one("select count(*) from plain") == "1000"


EVIL = ["'; drop table plain; --", "\\'; drop table plain; --", "$$; select 1/0; $$", "E'\\x27'", "a\nb\rc\x01", "ü'ü\\",
        "', 'setting', 'work_mem', '1", "\\u0027", "%s%n", "${x}", "\\"]


@pytest.mark.parametrize("text", EVIL)
def test_values_stay_values(session, text):
    for conforming in "on", "off":
        session.query(f"set standard_conforming_strings = {conforming}; set backslash_quote = off")
        restore(session, ("setting", "my.value", text), ("startup", "my.base", text), ("listen", text))
        assert session.state == {"settings": {"my.value": text}, "listen": [text]}
        assert session.one("select current_setting('my.value')") == text
    session.query("set client_encoding = 'SJIS'")
    restore(session, ("setting", "my.value", text))
    assert session.state == {"settings": {"my.value": text}}


FAILURES = [
    (("setting", "no_such", "1"), "42704", 'setting "no_such": unrecognized'),
    (("setting", "work_mem", "many"), "22023", 'setting "work_mem": invalid value'),
    (("setting", "port", "1"), "55P02", 'setting "port":'),
    (("startup", "no_such", "1"), "42704", 'unrecognized configuration parameter "no_such"'),
    (("startup", "shared_buffers", "1MB"), "55P02", 'parameter "shared_buffers" cannot'),
    (("startup", "options", "-d 5"), "0A000", 'option "-d" is not supported'),
    (("startup", "options", "-c work_mem"), "42601", "requires a value"),
    (("startup", "halogen.report_session", "off"), "55P02", "cannot be changed"),
    (("startup", "user", "postgres"), "42704", 'parameter "user"'),
    (("startup", "_pq_.x", "1"), "55P02", "cannot be changed"),
    (("role", "nobody"), "22023", "role"),
    (("session_authorization", "nobody"), "22023", "session_authorization"),
    (("listen", ""), "42602", "channel"),
    (("listen", "x" * 64), "42602", "channel"),
    (("nonsense",), "42601", "nonsense"),
    (("setting", "work_mem"), "42601", "too early"),
    (("setting", "work_mem", "1024", "x"), "42601", '"x"'),
]


@pytest.mark.parametrize("operation, code, words", FAILURES, ids=[str(failure[0])[:40] for failure in FAILURES])
def test_what_fails_ends_the_connection(server, operation, code, words):
    wire = server.connect()
    found, message = restore_fails(wire, ("setting", "work_mem", "2048"), operation)
    assert found == code and words in message, message
    # Of a startup setting a login hears as from Postgres.
    assert ("cannot restore the session: " in message) == (operation[0] != "startup")
    other = server.connect()
    assert other.one("select count(*) from pg_class where relname = 'must_not_be_made'") == "0"
    other.close()


@pytest.mark.parametrize("text", ["set halogen.session to 1, 2", "set local halogen.session to 'role', 'x'",
                                  "reset halogen.session", "set halogen.session to true", "SET Halogen.Session TO x"])
def test_other_forms_are_refused(session, text):
    assert session.fails(text) in ("42601", "42501")


def forgeries(wire):
    """What a client could say that has seen a statement of the proxy's."""
    used = statement(wire, ("startup", "work_mem", "1024"))
    wire.query(used)
    right = wire.a_pass()
    number, mac = right.split(".")
    wire.query(statement(wire))
    yield used
    for text in ("", "x", number, f"{number}.", f"{int(number) + 9}.{mac}", f"{number}.{mac[:-1]}", right, "setting"):
        for what in "session", "names", "parse":
            yield f"set halogen.{what} to {quoted(text)}, 'startup', 'search_path', 'evil'"
    yield from ("set halogen.session to default", "set halogen.names to default")


def test_only_who_knows_the_secret_says_what_the_session_is(server, session):
    for forgery in forgeries(session):
        assert session.fails(forgery) == "42501", forgery
        assert session.one("show search_path") == '"$user", public'
    none = server.connect(**{"halogen.session_secret": ""})
    assert none.fails(statement(none)) == "42501"
    none.close()


def test_the_secret_is_shown_nowhere(server, session):
    session.query(statement(session, ("setting", "work_mem", "1024")))
    other = server.connect()
    shown = other.query("select query from pg_stat_activity")
    shown += session.query("show all; select * from pg_settings; show halogen.session_secret; "
                           "select current_setting('halogen.session_secret')")
    assert SECRET not in str(shown) and SECRET not in server.log.read_text()
    assert session.fails("set halogen.session_secret = ''") == "55P02"
    other.close()


def test_inside_a_transaction_it_is_refused_and_nothing_happens(session):
    session.query("prepare p as select 1; set work_mem = '1MB'")
    before = session.state
    for sql in ("begin; %s; commit", "select 1; %s", "%s; select 1", "do $do$ begin %s; end $do$"):
        assert session.fails(sql % statement(session, ("setting", "work_mem", "2048"))) == "25001"
        session.simple("rollback")
    session.send(*extended("insert into plain values (-5, 'x')"), *extended(statement(session)), ("S", b""))
    assert kinds(session.until_ready()).endswith("EZ")
    session.simple("begin; select 1/0")
    assert session.fails(statement(session, ("setting", "work_mem", "2048"))) == "25P02"
    session.simple("rollback")
    assert session.state == before and session.one("show work_mem") == "1MB"


def test_without_a_sync_an_error_before_it_skips_what_follows(session):
    """How the proxy is to send it: no ReadyForQuery of its own, and nothing runs after an error."""
    wanted = ("setting", "work_mem", "1024")
    session.send(*extended(statement(session, wanted)), ("Q", b"show work_mem\0"))
    assert kinds(session.until_ready()) == "12C*TDCZ"
    session.send(*extended(statement(session, wanted)), *extended("vacuum plain"), ("S", b""))
    assert kinds(session.until_ready()) == "12C12CZ"
    session.send(*extended("set halogen.session to 'a"), ("Q", b"set work_mem = '9MB'\0"), ("S", b""))
    assert kinds(session.until_ready()) == "EZ"
    assert session.one("show work_mem") == "1MB"


def test_the_timeout_of_the_session_before_does_not_hit_it(server, session):
    other = server.connect()
    other.query("begin; lock table plain in access exclusive mode")
    session.query("set statement_timeout = '100ms'; set lock_timeout = '100ms'")
    timeouts = [("setting", name, "100") for name in ("statement_timeout", "lock_timeout")]
    session.send(("Q", statement(session, *timeouts, ("prepare", "prepare p as select * from plain")).encode() + b"\0"))
    assert other.one("select pg_sleep(0.5)") == ""
    other.query("commit")
    session.until_ready()
    assert [one["name"] for one in session.state["prepared"]] == ["p"]
    other.close()


def test_a_cancel_while_it_waits_ends_the_connection(server):
    session, other = server.connect(), server.connect()
    other.query("begin; lock table plain in access exclusive mode")
    session.send(("Q", statement(session, ("prepare", "prepare p as select * from plain")).encode() + b"\0"))
    while other.one(f"select wait_event_type = 'Lock' from pg_stat_activity where pid = {session.pid}") != "t":
        pass
    other.query(f"select pg_cancel_backend({session.pid})")
    kind, body = session.receive()
    assert kind == "E" and b"FATAL" in body and b"57014" in body
    session.socket.close()
    other.query("rollback")
    other.close()


def test_what_cannot_be_undone_is_refused(server):
    wire = server.connect()
    wire.query("load 'auto_explain'")
    code, message = restore_fails(wire)
    assert code == "55000" and "loaded_library" in message


def test_libraries_of_the_startup_packet_are_loaded(server, session):
    restore(session, ("startup", "session_preload_libraries", "auto_explain"))
    assert session.state == {"pins": ["loaded_library"]}
    assert session.one("show auto_explain.log_min_duration") == "-1"


@pytest.mark.parametrize("operation", [
    ("setting", "log_statement", "all"), ("startup", "log_statement", "all"), ("startup", "log_connections", "on"),
    ("startup", "options", "-c log_statement=all"), ("session_authorization", "postgres"), ("role", "postgres")])
def test_it_gives_no_rights(server, operation):
    code, _ = restore_fails(server.connect("app"), operation)
    assert code == "42501"


def test_granted_rights_are_used(server, session):
    session.query("grant set on parameter log_statement to app")
    try:
        app = server.connect("app")
        restore(app, ("setting", "log_statement", "mod"))
        assert app.state == {"settings": {"log_statement": "mod"}}
        app.close()
    finally:
        session.query("revoke set on parameter log_statement from app")


def test_the_rights_are_those_of_the_login_role(server, session):
    session.query("set session authorization app; set role other")
    restore(session, ("setting", "log_statement", "all"))
    assert session.state == {"settings": {"log_statement": "all"}}
    assert session.query("select session_user, current_user") == [("postgres", "postgres")]
    restore(session, ("setting", "log_statement", "all"), ("session_authorization", "app"), ("role", "other"))
    assert session.fails("set log_statement = 'none'") == "42501"


def test_what_a_function_with_more_rights_set_is_gone(app):
    app.query("select admin_sets()")
    assert app.state == {"pins": ["privileged_setting"]}
    restore(app)
    assert app.state == {} and app.one("show log_min_duration_statement") == "-1"


def test_a_session_that_does_not_report_has_no_such_statement(server):
    silent = server.connect(**{"halogen.report_session": "off"})
    silent.query("set work_mem = '1MB'; prepare p as select 1")
    assert silent.fails(statement(silent, ("setting", "work_mem", "2048"))) == "22023"
    assert silent.query("show work_mem; execute p") == [("1MB",), ("1",)]
    silent.close()


def test_other_server_encodings(server):
    for database in "latin", "ascii":
        wire = server.connect(database=database, client_encoding="UTF8")
        text = "grüße" if database == "latin" else "plain"
        restore(wire, ("setting", "my.text", text), ("listen", text))
        assert wire.state == {"settings": {"my.text": text}, "listen": [text]}
        wire.close()


def test_a_restore_of_many_things_many_times(session):
    operations = [("setting", f"my.v{i}", str(i)) for i in range(100)] + [
        ("prepare", f"prepare s{i} as select {i}") for i in range(50)] + [("listen", f"c{i}") for i in range(50)]
    memory = "select sum(total_bytes) from pg_backend_memory_contexts where name <> 'CacheMemoryContext'"
    sizes = []
    for _ in range(40):
        restore(session, *operations, ("startup", "my.s", "x" * 1000))
        assert len(session.state["settings"]) == 100 and len(session.state["prepared"]) == 50
        restore(session)
        assert session.state == {}
        sizes.append(int(session.one(memory)))
    assert sizes[-1] < sizes[5] * 1.2 + 65536


def test_a_driver_sees_the_session(server):
    connection = psycopg2.connect(host=str(server.folder), user="app", dbname="postgres",
                                  options=f"-c halogen.report_session=on -c halogen.session_secret={SECRET}")
    session = server.connect()  # For its passes only.
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(statement(session, ("startup", "TimeZone", "Asia/Tokyo"), ("setting", "application_name", "moved"),
                             ("prepare", "prepare p as select 'ü'")))
    assert connection.get_parameter_status("TimeZone") == "Asia/Tokyo"
    assert connection.get_parameter_status("application_name") == "moved"
    cursor.execute("execute p")
    assert cursor.fetchone() == ("ü",)
    connection.autocommit = False
    with pytest.raises(psycopg2.errors.ActiveSqlTransaction):
        cursor.execute(statement(session))
    connection.rollback()
    connection.autocommit = True
    with pytest.raises(psycopg2.OperationalError):  # Of FATAL psycopg2 tells the end of the connection.
        cursor.execute(statement(session, ("setting", "work_mem", "lots")))
    assert connection.closed
