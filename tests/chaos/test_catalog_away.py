"""The catalog is away: whatever uses it waits for ten seconds and fails, the API with it. Endpoints that are known wake and suspend."""

import contextlib
import fcntl
import re

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from fixtures.platform import wait_until

LOCKS = 120  # The first of SQLite's eight lock bytes in the index of a journal: https://sqlite.org/walformat.html


@contextlib.contextmanager
def catalog_away(platform):
    """Holds all locks on the catalog's journal: it can be neither written to nor read."""
    platform.expect_log("not recorded yet|locking protocol")
    with open(platform.home / "catalog.db-shm", "r+b") as index:
        fcntl.lockf(index, fcntl.LOCK_EX, 8, LOCKS)
        yield


def ask(string, sql):
    connection = psycopg2.connect(string, connect_timeout=60)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Suspends:
    """How often the endpoint has been suspended, by the log: the API can tell nothing."""

    def __init__(self, platform, endpoint):
        self.count = lambda: len(re.findall(f"{endpoint}: compute suspended at", platform.log_text()))
        self.seen = self.count()

    def wait(self):
        wait_until(lambda: self.count() > self.seen, seconds=60, what="a suspend")
        self.seen = self.count()


@pytest.fixture
def away(own_platform):
    """A suspended endpoint with a short timeout, its two strings, and a row in a table."""
    project = own_platform.create_project()
    own_platform.set_suspend_timeout(project, 1)
    project.query("create table t (i int)")
    strings = [project.connection_string(), project.connection_string(pooled=True)]
    project.suspend()
    return own_platform, project, strings


def test_known_endpoints_wake_and_suspend_while_the_catalog_is_away(away):
    platform, project, strings = away
    suspends = Suspends(platform, project.endpoint())
    before = platform.api("GET", f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}")["endpoint"]["suspended_at"]
    with catalog_away(platform):
        for i, string in enumerate(strings):
            ask(string, f"insert into t values ({i})")
            suspends.wait()
        ask(strings[0], "alter role neondb_owner password 'another-one'")
        changed = [make_dsn(string, password="another-one") for string in strings]
        ask(changed[0], "create role late login password 'late-one'")
        suspends.wait()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            ask(strings[0], "select 1")
        assert sorted(ask(changed[1], "select i from t")) == [(0,), (1,)]
        suspends.wait()

    def told():
        endpoint = platform.api("GET", f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}")["endpoint"]
        return endpoint["suspended_at"] > before and endpoint["current_state"] == "idle"
    wait_until(told, seconds=60, what="the catalog being told")
    branch = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"][0]["id"]
    roles = platform.api("GET", f"/api/v2/projects/{project.id}/branches/{branch}/roles")["roles"]
    assert "late" in [role["name"] for role in roles]
    assert ask(changed[0], "select count(*) from t") == [(2,)]


def test_what_happened_without_the_catalog_survives_a_kill(away):
    """The catalog still has the old password, as the copy of a clean suspend. It is of an older end of the log."""
    platform, project, strings = away
    suspends = Suspends(platform, project.endpoint())
    pid = platform.pid()
    with catalog_away(platform):
        ask(strings[0], "alter role neondb_owner password 'another-one'")
        ask(make_dsn(strings[0], password="another-one"), "insert into t values (1)")
        suspends.wait()
        platform.kill_pid(pid)
    platform.up()
    for string in strings:
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            ask(string, "select 1")
        assert ask(make_dsn(string, password="another-one"), "select i from t") == [(1,)]


def test_what_needs_the_catalog_says_so(away):
    platform, project, _ = away
    project.create_branch("new")
    string, name = project.connection_string("new"), project.endpoint("new")
    main = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
    reader = project.add_endpoint(next(b["id"] for b in main if b["name"] == "main"), type="read_only")
    with catalog_away(platform):
        platform.expect_log("compute did not start")
        assert ask(string, "select count(*) from t") == [(0,)], "a branch of one that has run needs nothing"
        with pytest.raises(psycopg2.OperationalError, match="read-only endpoint cannot start while the catalog is not to be had"):
            ask(string.replace(name, reader["id"]), "select 1")
