"""Who may log in, now: what Postgres settles when a session begins counts for every login after a change, whatever servers are
open; and a session that outlives its servers gets no other once it would not be let in any more. Direct and pooled."""

import contextlib
import urllib.error
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
import psycopg2.errors
import pytest

from fixtures.platform import wait_until
from fixtures.wire import TlsWire

PASSWORD = "S3cret_of_guests"
WRONG_PASSWORD = ("28P01", 'password authentication failed for user "guest"')


def as_guest(string, database="guests", password=PASSWORD, user="guest"):
    url = urlsplit(string)
    return urlunsplit(url._replace(netloc=f"{user}:{quote(password)}@{url.hostname}:{url.port}", path="/" + database))


def connect(string):
    connection = psycopg2.connect(string)
    connection.autocommit = True
    return connection


def run(connection, *statements):
    with connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def why_not(string):
    """Message of the refusal of a login that also asks something; None if it is let in."""
    try:
        with contextlib.closing(connect(string)) as connection:
            run(connection, "select 1")
    except psycopg2.Error as error:
        return str(error).strip().rpartition("FATAL:  ")[2]
    return None


def ends_with(client, sqlstate):
    """Whatever the client asks, it is told this FATAL error, and then the connection is closed."""
    with contextlib.suppress(OSError):
        client.send(("Q", b"select 1\0"))
    kind, body = client.receive()
    assert kind == "E" and b"VFATAL\0C" + sqlstate.encode() in body, (kind, body)
    with pytest.raises((EOFError, OSError)):
        client.receive()


@contextlib.contextmanager
def wire(string, **parameters):
    client = TlsWire(string, **parameters)
    try:
        yield client
    finally:
        with contextlib.suppress(OSError):
            client.close()


@pytest.fixture(scope="module")
def shared_project(session_platform):
    project = session_platform.create_project("rights")
    yield project
    project.delete()


@pytest.fixture
def project(platform, shared_project):
    """One for all tests of this file: each leaves its roles and databases as it found them."""
    return shared_project


@pytest.fixture
def owner(project):
    """The project's owner, with a role `guest` and a database `guests`."""
    connection = project.connect()
    leftovers = ("drop database if exists guests with (force)", "drop database if exists guests2 with (force)",
                 "drop role if exists guest, guest2")
    for sql in leftovers:
        run(connection, sql)
    run(connection, f"create role guest login password '{PASSWORD}'")
    run(connection, "create database guests")
    yield connection
    if connection.closed:
        connection = project.connect()
    for sql in leftovers:
        run(connection, sql)
    connection.close()


@pytest.fixture
def guest(string, owner):
    """Where it logs in. It has done so, so that there is a server of the pool, and a greeting."""
    where = as_guest(string)
    assert why_not(where) is None
    return where


@pytest.mark.parametrize("change, refusal", [
    ("alter role guest valid until '2020-01-01'", 'password authentication failed for user "guest"'),
    ("alter role guest password 'another'", 'password authentication failed for user "guest"'),
    ("alter role guest password null", 'password authentication failed for user "guest"'),
    ("alter role guest rename to guest2", 'password authentication failed for user "guest"'),
    ("alter role guest nologin", 'role "guest" is not permitted to log in'),
    ("alter role guest connection limit 0", 'too many connections for role "guest"'),
    ("alter database guests connection limit 0", 'too many connections for database "guests"'),
    ("alter database guests allow_connections false", 'database "guests" is not currently accepting connections'),
    ("alter database guests rename to guests2", 'database "guests" does not exist'),
    ("drop database guests", 'database "guests" does not exist'),
    ("revoke connect on database guests from public",
     'permission denied for database "guests"\nDETAIL:  User does not have CONNECT privilege.'),
])
def test_a_change_counts_for_the_next_login(owner, guest, change, refusal):
    run(owner, change)
    assert why_not(guest) == refusal


def test_what_is_given_back_counts_too(owner, guest):
    run(owner, "revoke connect on database guests from public")
    assert why_not(guest) is not None
    run(owner, "create role guest2", "grant connect on database guests to guest2", "grant guest2 to guest")
    assert why_not(guest) is None, "by a membership"
    run(owner, "revoke guest2 from guest")
    assert why_not(guest) is not None
    run(owner, "grant connect on database guests to guest")
    assert why_not(guest) is None


def test_a_change_that_is_rolled_back_counts_for_nobody(owner, guest):
    run(owner, "begin", "alter role guest nologin")
    assert why_not(guest) is None
    run(owner, "rollback")
    assert why_not(guest) is None


def test_a_password_is_good_until_the_moment_it_says_also_while_the_compute_sleeps(project, owner, guest):
    run(owner, "do $$ begin execute format('alter role guest valid until %L', now() + '2 s'); end $$")
    assert why_not(guest) is None
    owner.close()
    project.suspend()
    wait_until(lambda: why_not(as_guest(guest, database="pgbouncer")) == WRONG_PASSWORD[1], 10, "the end of its password")


def test_later_logins_have_the_settings_of_role_and_database(owner, guest):
    with contextlib.closing(connect(guest)) as before:
        run(owner, "alter role guest set statement_timeout = '77s'", "alter database guests set timezone = 'Asia/Tokyo'")
        with contextlib.closing(connect(guest)) as after:
            assert after.get_parameter_status("TimeZone") == "Asia/Tokyo"
            assert run(after, "show statement_timeout", "show timezone") == [("Asia/Tokyo",)]
            assert run(after, "show statement_timeout") == [("77s",)]
        assert before.get_parameter_status("TimeZone") != "Asia/Tokyo"


def test_a_name_given_to_another_role_is_the_other_role(owner, guest):
    run(owner, "create table if not exists guest_secret as select 1", "grant select on guest_secret to guest")
    string = as_guest(guest, database="neondb")
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: run(owner, "drop table guest_secret"))
        old = stack.enter_context(wire(string))
        assert old.query("select * from guest_secret") == [("1",)]
        run(owner, "alter role guest rename to guest2", "create role guest login password 'of another'")
        with contextlib.closing(connect(as_guest(string, "neondb", "of another"))) as new:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                run(new, "select * from guest_secret")
        if "-pooler" in string:
            ends_with(old, "28P01")
        else:
            assert old.query("select * from guest_secret") == [("1",)], "as on any Postgres"


@pytest.mark.parametrize("change, sqlstate", [
    ("alter role guest password 'another'", "28P01"),
    ("alter role guest nologin", "28000"),
    ("alter role guest valid until '2020-01-01'", "28P01"),
    ("revoke connect on database guests from public", "42501"),
])
def test_a_session_does_not_come_back_once_it_would_not_be_let_in(project, owner, guest, change, sqlstate):
    with wire(guest) as session, wire(guest) as busy:
        session.query("select 1")
        busy.query("begin; select 1")
        run(owner, change)
        assert busy.query("select 2") == [("2",)], "what is under way goes on"
        busy.query("commit")
        if "-pooler" in guest:
            ends_with(busy, sqlstate)
        else:
            assert busy.query("select 3") == [("3",)], "as on any Postgres"
        owner.close()
        project.suspend()
        ends_with(session, sqlstate)


def test_a_session_comes_back_where_nothing_of_its_own_has_changed(project, owner, guest):
    with contextlib.closing(connect(guest)) as session:
        for i in range(2):
            run(session, "select 1")
            run(project.connect(), "create role guest2", "drop role guest2")
            assert run(session, "select 2") == [(2,)]
            project.suspend()


def test_a_new_database_of_the_name_is_not_the_sessions(owner, guest):
    if "-pooler" not in guest:
        pytest.skip("a direct session keeps its database from being dropped")
    with wire(guest) as session:
        session.query("select 1")
        run(owner, "drop database guests")
        run(owner, "create database guests")
        assert why_not(guest) is None
        ends_with(session, "3D000")


def test_the_limit_on_a_roles_connections_is_one_on_clients(owner, guest):
    run(owner, "alter role guest connection limit 2")
    with contextlib.closing(connect(guest)), contextlib.closing(connect(guest)) as second:
        run(second, "select 1")
        assert why_not(guest) == 'too many connections for role "guest"'
        second.close()
        wait_until(lambda: why_not(guest) is None, 10, "a place")


@pytest.mark.parametrize("sql", ["drop database guests", "alter database guests rename to guests2",
                                 "create database guests2 template guests"])
def test_idle_servers_are_no_users_of_a_database(owner, guest, sql):
    with contextlib.closing(connect(guest)) as listener:
        run(listener, "listen c")
    run(owner, sql)


def test_idle_servers_make_room_for_direct_clients(platform, project, string):
    if "-pooler" in string:
        pytest.skip("it takes no room")
    platform.set_pg_setting(project, "max_connections", "20")
    project.suspend()
    try:
        with contextlib.ExitStack() as stack:
            burst = [stack.enter_context(contextlib.closing(project.connect(pooled=True))) for _ in range(15)]
            for client in burst:
                run(client, "begin")
            for client in burst:
                run(client, "commit")
            for _ in range(8):
                run(stack.enter_context(contextlib.closing(connect(string))), "select 1")
    finally:
        platform.set_pg_setting(project, "max_connections", "100")
        project.suspend()


@contextlib.contextmanager
def admin(string):
    with contextlib.closing(connect(urlunsplit(urlsplit(string)._replace(path="/pgbouncer")))) as connection:
        yield connection


def client_of(string, pid):
    with admin(string) as view, view.cursor() as cursor:
        cursor.execute("show clients")
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    return next(row for row in rows if row["pid"] == pid)


def test_a_client_can_be_ended_by_the_admin_view_of_its_own_role(project, owner, string):
    with wire(string) as client:
        client.query("create temp table t ()")
        ptr = client_of(string, client.pid)["ptr"]
        with admin(as_guest(string)) as view, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(view, f"kill {ptr}")
        with admin(string) as view:
            run(view, f"kill {ptr}")
        ends_with(client, "57P01")
        with admin(string) as view, pytest.raises(psycopg2.errors.UndefinedObject):
            run(view, f"kill_client {ptr}")


def test_a_client_can_be_ended_by_the_api(platform, project, string):
    path = f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}/pooler"
    with wire(string, application_name="to be ended") as client:
        listed = platform.api("GET", f"{path}?clients=1")["pooler"]["client_list"]
        id, = [one["id"] for one in listed if one["application_name"] == "to be ended"]
        platform.api("DELETE", f"{path}/clients/{id}")
        ends_with(client, "57P01")
        for gone in (id, "nonsense"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                platform.api("DELETE", f"{path}/clients/{gone}")
            assert refused.value.code == 404
