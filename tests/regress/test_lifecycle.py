"""Suspend, wake, branches, and coming back after a stop: what a user sees of a database whose compute comes and goes."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import psycopg2
import pytest

from fixtures.platform import Platform, wait_until


def test_data_survives_suspend_and_wake(project):
    project.query("create table t as select i, md5(i::text) m from generate_series(1, 50000) i")
    before = project.query("select count(*), md5(string_agg(m, '' order by i)) from t")
    project.suspend()
    assert project.compute()["state"] == "idle"
    assert project.query("select count(*), md5(string_agg(m, '' order by i)) from t") == before


def test_a_fresh_skeleton_gives_the_same_data_as_the_kept_directory(project):
    project.query("create table t as select i, repeat('x', i % 500) x from generate_series(1, 20000) i")
    project.query("create index on t (i)")
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select count(*), sum(length(x)) from t where i > 0") == \
        [(20000, sum(i % 500 for i in range(1, 20001)))]


def test_sequences_are_exact_after_suspend(project):
    """WAL logs a sequence 32 values ahead; a suspended one must go on where it was, as after a clean restart."""
    project.query("create sequence s")
    project.query("create table t (id serial, v int)")
    for _ in range(5):
        project.query("select nextval('s')")
    project.query("insert into t (v) values (1), (2)")
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select nextval('s')") == [(6,)]
    assert project.query("insert into t (v) values (3) returning id") == [(3,)]


def test_free_space_map_and_statistics_are_kept(project):
    project.query("create table t (i int, x text) with (autovacuum_enabled = off)")
    project.query("insert into t select i, repeat('x', 200) from generate_series(1, 20000) i")
    project.query("delete from t where i % 2 = 0")
    project.query("vacuum t")
    size = project.query("select pg_relation_size('t')")
    deleted = project.query("select n_tup_del from pg_stat_user_tables where relname = 't'")
    assert deleted == [(10000,)]
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select n_tup_del from pg_stat_user_tables where relname = 't'") == deleted
    project.query("insert into t select i, repeat('y', 200) from generate_series(1, 9000) i")
    assert project.query("select pg_relation_size('t')") == size, "the space freed by VACUUM was not found again"


def test_an_idle_endpoint_suspends_by_itself_and_wakes_on_the_next_connection(project, platform):
    platform.set_suspend_timeout(project, 1)
    project.query("create table t as select 1 as one")
    wait_until(lambda: project.compute()["state"] == "idle", what="suspend")
    assert project.query("select one from t") == [(1,)]


def test_an_idle_session_keeps_no_compute_awake_and_notices_nothing(project, platform):
    platform.set_suspend_timeout(project, 1)
    connection = project.connect()
    with connection.cursor() as cursor:
        cursor.execute("set work_mem = '7MB'")
        wait_until(lambda: project.compute()["state"] == "idle", what="suspend")
        cursor.execute("show work_mem")
        assert cursor.fetchone() == ("7MB",)
    connection.close()


def test_a_session_that_cannot_be_moved_keeps_the_compute_awake(project, platform):
    platform.set_suspend_timeout(project, 1)
    connection = project.connect()
    with connection.cursor() as cursor:
        cursor.execute("create temp table held as select 1")
        with pytest.raises(AssertionError, match="did not happen"):
            wait_until(lambda: project.compute()["state"] == "idle", seconds=3, what="suspend")
        cursor.execute("table held")
        assert cursor.fetchone() == (1,)
        cursor.execute("drop table held")
        wait_until(lambda: project.compute()["state"] == "idle", what="suspend")
    connection.close()


@pytest.mark.parametrize("pooled", [False, True])
def test_but_not_for_longer_than_the_bound(project, platform, pooled):
    platform.set_pooler(project, pinned_idle_timeout=1)
    connection = psycopg2.connect(project.connection_string(pooled=pooled))
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("create temp table t as select 7 i")
        cursor.execute("select pg_sleep(2)")  # That is no idling.
        cursor.execute("select i from t; begin")
        pid = connection.info.backend_pid
        query = "select count(*) from pg_stat_activity where usename = 'neondb_owner'"
        with project.superuser("neondb") as other, other.cursor() as looking:
            def servers():
                looking.execute(query)
                other.rollback()  # What a transaction has seen of this view stays.
                return looking.fetchone()[0]
            wait_until(lambda: servers() == 0, what="the end of its server")
        with pytest.raises(psycopg2.errors.AdminShutdown, match="idle for too long"):
            cursor.execute("select i from t")
        cursor.execute("rollback")
        cursor.execute("select to_regclass('t')")
        assert cursor.fetchone() == (None,) and connection.info.backend_pid == pid


def test_many_connections_to_a_sleeping_endpoint_all_get_in(project):
    project.query("create table t as select 42 as x")
    project.suspend()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(project.query("select x from t"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[(42,)]] * 20


def test_branches_see_the_past_and_not_each_other(project):
    project.query("create table t as select i from generate_series(1, 1000) i")
    project.create_branch("dev")
    project.query("insert into t select i from generate_series(1001, 1010) i")
    assert project.query("select count(*) from t", branch="dev") == [(1000,)]
    project.query("delete from t where i <= 500", branch="dev")
    project.query("create table only_dev (i int)", branch="dev")
    assert project.query("select count(*) from t") == [(1010,)]
    assert project.query("select to_regclass('only_dev')") == [(None,)]
    project.create_branch("grandchild", parent="dev")
    assert project.query("select count(*), min(i) from t", branch="grandchild") == [(500, 501)]


def test_a_branch_copies_nothing(project, platform):
    project.query("create table t as select i, repeat('x', 500) x from generate_series(1, 40000) i")
    project.suspend()
    before = platform.storage_bytes()
    project.create_branch("copy")
    assert platform.storage_bytes() - before < 1 << 20
    assert project.query("select count(*) from t", branch="copy") == [(40000,)]


def test_everything_is_back_after_down_and_up(own_platform):
    project = own_platform.create_project()
    project.query("create table t as select 7 as x")
    project.query("create role reader login password 'secret-of-reader'")
    string = project.connection_string()
    own_platform.down()
    own_platform.up()
    assert project.connection_string() == string
    assert project.query("select x from t") == [(7,)]
    psycopg2.connect(re.sub(r"//[^@]+@", "//reader:secret-of-reader@", string)).close()


def test_roles_made_by_sql_can_log_in(project):
    project.query("create role app login password 'first'")
    string = project.connection_string()
    app = lambda password: psycopg2.connect(re.sub(r"//[^@]+@", f"//app:{password}@", string)).close()
    app("first")
    project.query("alter role app password 'second'")
    app("second")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        app("first")
    project.suspend()
    app("second")


def test_a_password_changed_by_sql_is_no_longer_printed(project, platform):
    """By whom it was changed, the connection string must not go on naming the old one as if it worked."""
    printed = project.connection_string()
    assert re.search(r"//neondb_owner:[^@]+@", printed)
    old = re.search(r":([^:@]+)@", printed).group(1)
    project.query("alter role neondb_owner password 'chosen-by-hand'")
    for _ in range(2):  # With a running compute, and with a suspended one, which stays asleep.
        done = platform.cli("connection-string", "--project", project.id, check=False)
        assert done.returncode == 0 and old not in done.stdout and "changed by SQL" in done.stderr
        string = done.stdout.strip()
        project.suspend()
    assert project.compute()["state"] == "idle"
    psycopg2.connect(string, password="chosen-by-hand").close()
    superuser = project.superuser("neondb")
    with superuser.cursor() as cursor:
        cursor.execute(f"alter role neondb_owner password '{old}'")
    superuser.close()
    assert project.connection_string() == printed


def test_a_copy_of_the_home_without_its_caches_is_a_backup(own_platform, tmp_path):
    """As docs/operations says."""
    project = own_platform.create_project()
    project.query("create table t as select i, md5(i::text) m from generate_series(1, 20000) i")
    own_platform.down()
    with Platform.home_folder("restored") as home:
        caches = [f"--exclude=./{name}" for name in ("compute", "redo", "run", "lib")]
        subprocess.run(["tar", "-C", own_platform.home, *caches, "-czf", tmp_path / "backup.tar.gz", "."], check=True)
        subprocess.run(["tar", "-C", home, "-xzpf", tmp_path / "backup.tar.gz"], check=True)
        with Platform.running(home) as restored:
            project.platform = restored
            assert project.query("select count(*), min(m), max(m) from t where m = md5(i::text)")[0][0] == 20000
            project.query("insert into t values (0, md5('0'))")
    own_platform.up()


def test_unlogged_tables_work_and_are_empty_on_a_fresh_skeleton(project):
    project.query("create unlogged table u (i int primary key)")
    project.query("insert into u select generate_series(1, 1000)")
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select count(*) from u") == [(0,)]
    project.query("insert into u values (1)")
    assert project.query("select i from u") == [(1,)]


def test_prepared_transactions_survive_a_fresh_skeleton(project, platform):
    platform.set_pg_setting(project, "max_prepared_transactions", "5")
    project.suspend()
    project.query("create table t (i int)")
    connection = project.connect()
    with connection.cursor() as cursor:
        cursor.execute("begin; insert into t values (1); prepare transaction 'p1'")
    connection.close()
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select gid from pg_prepared_xacts") == [("p1",)]
    assert project.query("select count(*) from t") == [(0,)]
    project.query("commit prepared 'p1'")
    assert project.query("select count(*) from t") == [(1,)]


def test_pg_receivewal_streams_from_the_safekeeper(project, tmp_path, platform):
    project.query("create table t as select generate_series(1, 10000)")
    lsn = project.query("select pg_current_wal_flush_lsn()::text")[0][0]
    reader = dict(line.split("=", 1) for line in platform.cli("wal-reader", "--project", project.id).split())
    done = subprocess.run(["/usr/lib/postgresql/15/bin/pg_receivewal", "-D", str(tmp_path), "--endpos", lsn, "--no-loop"],
                          env={**os.environ, **reader}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert any(re.match(r"[0-9A-F]{24}", name) for name in os.listdir(tmp_path))
