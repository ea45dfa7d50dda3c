"""A compute writes its WAL into the safekeeper's own segments: they are all that its pg_wal holds, no commit waits for the platform,
and what it does with them, lies included, is its own branch's loss alone."""

import contextlib
import os
import signal
import time
import urllib.error
from pathlib import Path

import psycopg2
import pytest

from fixtures.platform import wait_until


def wal_names(project):
    return [name for name in Path(project.compute()["data_directory"], "pg_wal").iterdir() if name.name != "archive_status"]


def stored(project):
    """Inodes of the safekeeper's segments of all timelines."""
    return {file.stat().st_ino for file in (project.platform.home / "safekeeper").glob("*/0*")}


def segments(project):
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_walfile_name(pg_current_wal_flush_lsn())")
        return cursor.fetchone()[0]


def test_pg_wal_holds_names_of_the_safekeepers_files_and_a_suspend_leaves_none(project):
    project.query("create table t as select generate_series(1, 1000) as i")
    assert {name.stat().st_ino for name in wal_names(project)} <= stored(project)
    assert segments(project) in {name.name for name in wal_names(project)}
    project.suspend()
    assert wal_names(project) == []
    assert project.query("select count(*) from t") == [(1000,)]


def test_many_segments_are_written_removed_by_postgres_and_kept_until_storage_has_them(project):
    project.wake()
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute("create table wide (i int, filler text)")
        connection.autocommit = True
        for part in range(4):
            cursor.execute("insert into wide select i, repeat(md5(i::text), 20) from generate_series(1, 30000) i")
            cursor.execute("select pg_switch_wal()")
        cursor.execute("select pg_logical_emit_message(true, 'large', repeat('x', 40000000))")  # One record over three segments.
        cursor.execute("checkpoint")
        cursor.execute("select count(*), sum(length(filler)) from wide")
        expected = cursor.fetchone()
    project.create_branch("now")
    assert project.query("select count(*), sum(length(filler)) from wide", branch="now") == [expected]
    project.suspend()
    assert project.query("select count(*), sum(length(filler)) from wide") == [expected]


def test_what_is_committed_is_in_a_branch_made_at_once(project):
    project.query("create table t (i int)")
    for i in range(1, 5):
        project.query(f"insert into t values ({i})")
        project.create_branch(f"b{i}")
        assert project.query("select max(i) from t", branch=f"b{i}") == [(i,)]


def test_a_commit_does_not_wait_for_the_platform(project):
    """The platform stands still, and commits go on."""
    project.query("create table t (i int)")
    platform = project.platform.pid()
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("insert into t values (0)")
        os.kill(platform, signal.SIGSTOP)
        try:
            began = time.monotonic()
            for i in range(20):
                cursor.execute(f"insert into t values ({i})")
            assert time.monotonic() - began < 60
        finally:
            os.kill(platform, signal.SIGCONT)
    assert project.query("select count(*) from t") == [(21,)]


@pytest.mark.parametrize("harm", ["truncate", "noise", "fifo"])
def test_a_compute_that_spoils_its_segments_harms_its_own_branch_alone(own_platform, harm):
    own_platform.expect_log("ended unexpectedly|cannot follow|cannot be taken|damaged|not started|corrupt|failed|has no WAL|WAL|timeline")
    victim, attacker = own_platform.create_project("victim"), own_platform.create_project("attacker")
    victim.query("create table t as select 1 as i")
    attacker.query("create table t as select 1 as i")
    for name in wal_names(attacker):  # As its own programs could: the files are theirs.
        if harm == "truncate":
            os.truncate(name, 0)
        elif harm == "noise":
            with open(name, "r+b") as file:
                file.seek(1 << 20)
                file.write(os.urandom(1 << 20))
        else:
            name.unlink()
            os.mkfifo(name)
    with contextlib.suppress(psycopg2.Error, urllib.error.HTTPError), contextlib.closing(attacker.superuser("neondb")) as connection, \
            connection.cursor() as cursor:
        cursor.execute("set statement_timeout = '2s'; insert into t values (2)")
        connection.commit()
    for i in range(20):
        victim.query(f"insert into t values ({i})")
    attacker.platform.cli("suspend", "--project", attacker.id, check=False)
    victim.suspend()
    assert victim.query("select count(*) from t") == [(21,)]
    wait_until(lambda: own_platform.status(), what="a platform that answers")
