"""The locking of Flyway, Liquibase and Active Record, said in SQL: one session holds an advisory lock over several
transactions while the other migrators wait, blocked in the server or asking again and again."""

import time

import psycopg2
import pytest

from drivers.crowd import in_threads

LOCK = 77431899279123
MIGRATORS = 6
STEPS = 5


def connect(string):
    connection = psycopg2.connect(string)
    connection.autocommit = True
    return connection


def execute(connection, sql, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0] if cursor.description else None


def take(connection, blocking):
    if blocking:
        execute(connection, "select pg_advisory_lock(%s)", LOCK)
        return
    until = time.monotonic() + 60
    while not execute(connection, "select pg_try_advisory_lock(%s)", LOCK):
        assert time.monotonic() < until, "the lock was never free"
        time.sleep(0.05)


def migrate(connection):
    """Steps not applied yet, each in a transaction of its own. How many those were."""
    applied = 0
    for step in range(1, STEPS + 1):
        if execute(connection, "select count(*) from history where step = %s", step):
            continue
        with connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute(f"create table step_{step} as select generate_series(1, 100) i")
            cursor.execute("insert into history values (%s)", (step,))
            cursor.execute("commit")
        applied += 1
        time.sleep(0.05)
    return applied


@pytest.mark.parametrize("blocking", [True, False], ids=["waits", "asks again"])
def test_one_migrator_at_a_time(project, crowded, neighbours, blocking):
    # No primary key: a step done twice must show, not fail.
    project.query("create table history (step int)")

    def migrator(_):
        connection = connect(crowded)
        take(connection, blocking)
        try:
            return migrate(connection)
        finally:
            assert execute(connection, "select pg_advisory_unlock(%s)", LOCK) is True
            connection.close()

    # Fewer than there are servers wait in one: see CROWDED_POOL.
    applied = in_threads(migrator, clients=4 if blocking else MIGRATORS)
    assert sorted(applied)[-1] == STEPS and sum(applied) == STEPS, applied
    assert project.query("select array_agg(step order by step) from history") == [([1, 2, 3, 4, 5],)]


def test_the_lock_goes_with_its_session(crowded, neighbours):
    """A migrator that dies without unlocking must not lock out the next one, though its server connection lives on."""
    dying, next_one = connect(crowded), connect(crowded)
    execute(dying, "select pg_advisory_lock(%s)", LOCK)
    assert execute(next_one, "select pg_try_advisory_lock(%s)", LOCK) is False
    dying.close()
    take(next_one, blocking=False)
    assert execute(next_one, "select pg_advisory_unlock(%s)", LOCK) is True
    next_one.close()


def test_the_lock_stays_while_others_take_their_turns(crowded, neighbours):
    """Flyway's two connections: one holds the lock and is idle, the other migrates for a while."""
    holder, worker = connect(crowded), connect(crowded)
    execute(holder, "select pg_advisory_lock(%s)", LOCK)
    for i in range(20):
        execute(worker, f"create table t{i} (i int)")
        assert execute(worker, "select pg_try_advisory_lock(%s)", LOCK) is False
    assert execute(holder, "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()") == 1
    assert execute(holder, "select pg_advisory_unlock(%s)", LOCK) is True
    assert execute(worker, "select pg_try_advisory_lock(%s)", LOCK) is True
    for connection in (holder, worker):
        connection.close()
