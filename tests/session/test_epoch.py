"""The epoch of logins: it grows when what a login depends on was changed by a transaction that committed, and then only."""

import pytest

from session.wire import ServerError

LOGIN, EPOCH, VACATE = "halogen.login", "halogen.epoch", "halogen.vacate"


def told(messages, name):
    """Values of this parameter, in the order they came."""
    start = name.encode() + b"\0"
    return [body[len(start):-1].decode() for kind, body in messages if kind == "S" and body.startswith(start)]


def grows(session, *statements):
    """Whether the session is told of another epoch, and right before its last ReadyForQuery."""
    messages = [message for sql in statements for message in session.simple(sql)]
    for kind, body in messages:
        if kind == "E":
            raise ServerError(body)
    if not told(messages, EPOCH):
        return False
    assert told(messages[-3:], EPOCH) == told(messages, EPOCH)  # A report of the session's state may be behind it.
    return True


@pytest.fixture(autouse=True)
def guest(session):
    session.simple("drop database if exists epoch_db")
    session.simple("drop database if exists epoch_db2")
    session.simple("drop role if exists epoch_guest, epoch_other")
    session.simple("create role epoch_guest login")
    session.simple("create database epoch_db")
    yield
    for sql in ("drop database if exists epoch_db", "drop database if exists epoch_db2",
                "drop role if exists epoch_guest, epoch_other"):
        session.simple(sql)


@pytest.mark.parametrize("sql", [
    "alter role epoch_guest password 'x'", "alter role epoch_guest nologin", "alter role epoch_guest connection limit 1",
    "alter role epoch_guest valid until '2020-01-01'", "alter role epoch_guest rename to epoch_other",
    "alter role epoch_guest set work_mem = '1MB'", "alter role epoch_guest in database epoch_db set work_mem = '1MB'",
    "alter role epoch_guest reset all", "grant app to epoch_guest", "revoke app from epoch_guest", "alter group app add user epoch_guest",
    "grant connect on database epoch_db to epoch_guest", "revoke connect on database epoch_db from public",
    "alter database epoch_db allow_connections false", "alter database epoch_db connection limit 2",
    "alter database epoch_db owner to epoch_guest", "alter database epoch_db rename to epoch_db2",
    "alter database epoch_db set work_mem = '1MB'", "drop owned by epoch_guest", "drop role epoch_guest", "drop database epoch_db",
    "do $$ begin execute 'alter role epoch_guest nologin'; end $$",
    "update pg_authid set rolconnlimit = 3 where rolname = 'epoch_guest'",
    "with c as (update pg_database set datconnlimit = 3 where datname = 'epoch_db' returning 1) select * from c",
])
def test_it_grows_with_every_change_of_what_lets_in(session, sql):
    try:
        assert grows(session, sql)
    finally:
        session.simple("alter database epoch_db owner to current_user")


@pytest.mark.parametrize("sql", [
    "select 1", "create role epoch_other", "set work_mem = '1MB'", "create temp table t (i int)", "grant select on plain to epoch_guest",
    "begin; alter role epoch_guest nologin; rollback", "select rolname from pg_authid", "copy plain to stdout",
])
def test_it_stays_with_all_else(session, sql):
    assert not grows(session, sql)


def test_it_grows_when_the_transaction_commits(session):
    assert not grows(session, "begin", "alter role epoch_guest nologin")
    assert grows(session, "commit")


def test_other_sessions_are_told_with_their_next_answer(server, session):
    other = server.connect()
    session.simple("alter role epoch_guest nologin")
    first = told(other.simple("select 1"), EPOCH)
    assert len(first) == 1 and told(other.simple("select 1"), EPOCH) == []
    session.simple("alter role epoch_guest login")
    assert int(told(other.simple("select 1"), EPOCH)[0]) > int(first[0])
    other.close()


def test_a_connection_begins_with_whose_it_is(server, session):
    session.simple("alter role epoch_guest connection limit 7")
    session.simple("alter database epoch_db connection limit 8")
    epoch = session.one("show halogen.epoch")
    role = session.one("select oid from pg_roles where rolname = 'epoch_guest'")
    database = session.one("select oid from pg_database where datname = 'epoch_db'")
    guest = server.connect(user="epoch_guest", database="epoch_db")
    assert guest.login == f"{epoch} {role} {database} 7 8"
    guest.close()


@pytest.mark.parametrize("sql", ["drop database epoch_db", "alter database epoch_db rename to epoch_db2",
                                 "create database epoch_db2 template epoch_db"])
def test_a_statement_that_waits_for_a_database_says_so_before_it_waits(server, session, sql):
    oid = session.one("select oid from pg_database where datname = 'epoch_db'")
    user = server.connect(database="epoch_db")
    session.send(("Q", sql.encode() + b"\0"))
    kind, body = session.receive()
    assert told([(kind, body)], VACATE) == [oid]
    user.close()
    assert session.until_ready()[-2][0] in "CS"
