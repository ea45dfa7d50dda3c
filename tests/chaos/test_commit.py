"""With a safekeeper that pulls WAL, a commit is acknowledged, and seen by others, only once it has it on disk, whatever ends the
client's patience. (A compute that writes in place waits for its own disk, as stock Postgres does.)"""

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

import psycopg2
import pytest

from fixtures.platform import Platform, wait_until

LOOK = 0.5  # Seconds in which a commit that does not wait would long be there.


class Storage:
    """The safekeeper's disk, which can be kept from answering."""

    def __init__(self, folder):
        self.library, self.flag = Path(folder) / "hold_sync.so", Path(folder) / "hold"
        source = Path(__file__).parents[1] / "fixtures" / "hold_sync.c"
        subprocess.run(["clang-19", "-O1", "-shared", "-fPIC", "-o", self.library, source], check=True)

    @contextlib.contextmanager
    def held(self):
        self.flag.touch()
        try:
            yield
        finally:
            self.flag.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def storage():
    with Platform.home_folder("hold") as folder:
        yield Storage(folder)


@pytest.fixture(scope="module")
def held_project(storage):
    with Platform.home_folder("commit") as home, pytest.MonkeyPatch.context() as environment:
        environment.setenv("LD_PRELOAD", str(storage.library))
        environment.setenv("HALOGEN_TEST_HOLD_SYNC", str(storage.flag))
        with Platform.running(home, "--wal", "pull") as platform:
            project = platform.create_project()
            project.query("create table t (i int)")
            yield project
            platform.check_storage()


@pytest.fixture
def watcher(held_project):
    with contextlib.closing(held_project.superuser("neondb")) as connection, connection.cursor() as cursor:
        yield cursor
        cursor.execute("truncate t")


class Commit(threading.Thread):
    """One statement whose commit waits for the safekeeper when this is constructed."""

    def __init__(self, project, watcher, prepare="select 1", statement="insert into t values (1)"):
        super().__init__(daemon=True)
        self.connection, self.statement = project.connect(), statement
        self.pid = self.connection.info.backend_pid
        self.error, self.acknowledged = None, False
        with self.connection.cursor() as cursor:
            cursor.execute(prepare)
        self.start()
        waits = f"select count(*) from pg_stat_activity where wait_event = 'SyncRep' and pid = {self.pid}"  # As autovacuum may.
        wait_until(lambda: count(watcher, waits) == 1, what="a commit that waits")

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.statement)
            self.acknowledged = True
        except psycopg2.Error as error:
            self.error = error

    def outcome(self):
        self.join(60)
        assert not self.is_alive()
        self.connection.close()
        return self.acknowledged


def count(cursor, sql="select count(*) from t"):
    cursor.execute(sql)
    return cursor.fetchone()[0]


def still_waits(commit, watcher):
    commit.join(LOOK)
    return commit.is_alive() and count(watcher) == 0


def test_a_cancelled_commit_is_acknowledged_when_it_is_durable(held_project, storage, watcher):
    with storage.held():
        commit = Commit(held_project, watcher)
        for _ in range(3):
            commit.connection.cancel()
            assert still_waits(commit, watcher)
    assert commit.outcome() and count(watcher) == 1


def test_a_timeout_of_the_statement_ends_no_commit(held_project, storage, watcher):
    with storage.held():
        commit = Commit(held_project, watcher, prepare="set statement_timeout = '200ms'",
                        statement="do $$ begin insert into t values (1); commit; end $$")  # Else it is off while committing.
        assert still_waits(commit, watcher)
    assert commit.outcome() and count(watcher) == 1


def test_a_terminated_commit_is_seen_by_none_before_it_is_durable(held_project, storage, watcher):
    with storage.held():
        commit = Commit(held_project, watcher)
        watcher.execute("select pg_terminate_backend(%s)", (commit.pid,))
        assert still_waits(commit, watcher)
    assert not commit.outcome()
    wait_until(lambda: count(watcher) == 1, what="the row")


def test_two_phase_commit_is_held_as_well(held_project, storage, watcher):
    held_project.query("begin; insert into t values (1); prepare transaction 'p'")
    with storage.held():
        commit = Commit(held_project, watcher, statement="commit prepared 'p'")
        commit.connection.cancel()
        assert still_waits(commit, watcher)
    assert commit.outcome() and count(watcher) == 1


def test_local_is_no_way_around_it(held_project, storage, watcher):
    with storage.held():
        commit = Commit(held_project, watcher, prepare="set synchronous_commit = local")
        assert still_waits(commit, watcher)
    assert commit.outcome() and count(watcher) == 1
    assert held_project.query("set synchronous_commit = local; show synchronous_commit") == [("on",)]


def test_a_warning_that_is_not_logged_holds_too(held_project, storage, watcher):
    watcher.execute("alter role neondb_owner set log_min_messages = 'panic'")
    try:
        with storage.held():
            commit = Commit(held_project, watcher)
            commit.connection.cancel()
            assert still_waits(commit, watcher)
        assert commit.outcome()
    finally:
        watcher.execute("alter role neondb_owner reset log_min_messages")


def test_a_killed_compute_acknowledges_nothing_that_waited(held_project, storage):
    postmaster = held_project.compute()["pid"]
    with contextlib.closing(held_project.superuser("neondb")) as connection, connection.cursor() as cursor, storage.held():
        commit = Commit(held_project, cursor)
        os.kill(postmaster, signal.SIGKILL)
        assert not commit.outcome()
    assert held_project.query("select count(*) from t")[0][0] in (0, 1)
