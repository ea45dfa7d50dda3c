"""kill -9 of anything, at any moment, loses nothing that was acknowledged and invents nothing."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import psycopg2
import pytest

from fixtures.load import start_writers, stop_writers
from fixtures.platform import wait_until

SEED = int(os.environ.get("HALOGEN_SEED", random.randrange(1 << 32)))
ROUNDS = int(os.environ.get("HALOGEN_CHAOS_ROUNDS", 20))


def children(pid):
    out = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        out += [int(child) for child in (task / "children").read_text().split()]
    return out


def kill_compute(project, remove=True):
    """kill -9 of the postmaster and every backend; then its data directory goes."""
    compute = project.compute()
    if compute["state"] != "active":
        return
    for pid in [compute["pid"], *children(compute["pid"])]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_until(lambda: project.compute()["pid"] != compute["pid"], what="the platform noticing the dead compute")
    if remove:
        shutil.rmtree(compute["data_directory"], ignore_errors=True)


def run_rounds(project, kill):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    writers = start_writers(project, 4)
    wait_until(lambda: all(w.acknowledged for w in writers), seconds=90, what="a first commit of each")
    for round in range(ROUNDS):
        before = [writer.acknowledged for writer in writers]
        wait_until(lambda: any(w.acknowledged > b for w, b in zip(writers, before)), seconds=90, what="a commit")
        time.sleep(chance.uniform(0, 0.6))
        kill(round)
    before = [writer.acknowledged for writer in writers]
    wait_until(lambda: all(w.acknowledged > b for w, b in zip(writers, before)), seconds=90, what="commits after the last kill")
    stop_writers(project, writers)
    assert sum(writer.acknowledged for writer in writers) > ROUNDS
    with project.superuser("neondb") as connection, connection.cursor() as cursor:
        cursor.execute("create extension if not exists amcheck")
        cursor.execute("select bt_index_check('load_pkey', true)")
    return writers


def test_committed_rows_survive_the_death_of_the_compute_and_its_directory(platform, project):
    platform.expect_log("ended unexpectedly|exited")
    project.query("create table t as select i from generate_series(1, 1000) i")
    open_transaction = psycopg2.connect(project.connection_string())
    with open_transaction.cursor() as cursor:
        cursor.execute("insert into t values (-1)")
    kill_compute(project)
    assert project.query("select count(*), min(i) from t") == [(1000, 1)]


def test_kill_9_of_the_platform_loses_nothing(own_platform):
    project = own_platform.create_project()
    project.query("create table t as select i from generate_series(1, 1000) i")
    own_platform.kill()
    own_platform.up()
    assert project.query("select count(*) from t") == [(1000,)]
    own_platform.check_storage()


def test_what_wal_does_not_carry_survives_kill_9_right_after_a_suspend(own_platform):
    """Statistics and free space are stored by the suspend; no later flush may be needed to keep them."""
    project = own_platform.create_project()
    project.query("create table t (i int, x text) with (autovacuum_enabled = off)")
    project.query("insert into t select i, repeat('x', 200) from generate_series(1, 20000) i")
    project.query("delete from t where i % 2 = 0")
    project.query("vacuum t")
    statistics = "select n_tup_ins, n_tup_del, vacuum_count from pg_stat_user_tables where relname = 't'"
    size = project.query("select pg_relation_size('t')")
    assert project.query(statistics) == [(20000, 10000, 1)]
    project.suspend()
    folder = project.compute()["data_directory"]
    own_platform.kill()
    shutil.rmtree(folder)
    own_platform.up()
    assert project.query(statistics) == [(20000, 10000, 1)]
    project.query("insert into t select i, repeat('y', 200) from generate_series(1, 9000) i")
    assert project.query("select pg_relation_size('t')") == size


@pytest.mark.timeout(1200)
def test_computes_killed_under_load_lose_nothing_acknowledged(platform, project):
    platform.expect_log("ended unexpectedly|exited")
    writers = run_rounds(project, lambda round: kill_compute(project))
    for writer in writers:  # Direct or pooled: an honest error, and the connection stays.
        assert writer.errors == {"57P01"} and writer.connections == 1


@pytest.mark.timeout(1800)
def test_platforms_killed_under_load_lose_nothing_acknowledged(own_platform):
    project = own_platform.create_project()

    def kill(round):
        own_platform.kill()
        own_platform.up()

    run_rounds(project, kill)
    own_platform.check_storage()
