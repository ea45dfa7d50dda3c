"""What a running compute keeps of its tables on the disk is bounded, also of what it writes, and no page is ever an old one."""

import contextlib
import pathlib
import random
import shutil
import threading
import time

import pytest

from fixtures.platform import Platform, wait_until

LIMIT = 16 << 20
SLACK = 24 << 20  # Catalogs, maps, and what storage has not got yet.
ROWS = 200_000  # Of about 65 MB.
SUM = "SELECT count(*), sum(hashtextextended(r::text, 0)::numeric) FROM {} r"
MADE = "(SELECT i AS a, 0 AS v, repeat('x', 300) AS b FROM generate_series(1, {}) i)"


@pytest.fixture(scope="module")
def bounded():
    with Platform.create("local-cache", "--cache-size", str(LIMIT)) as platform:
        yield platform


@pytest.fixture
def bounded_project(bounded):
    project = bounded.create_project()
    bounded.set_pg_setting(project, "shared_buffers", "16MB")
    project.query("CREATE EXTENSION pg_visibility; CREATE EXTENSION amcheck")
    project.suspend()  # So that what comes is new to this wake.
    yield project
    project.delete()


@contextlib.contextmanager
def session(project):
    with contextlib.closing(project.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        yield cursor


def ask(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchall()


def local_bytes(project):
    total = 0
    for file in pathlib.Path(project.compute()["data_directory"], "base").rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_blocks * 512
    return total


def wait_for_bound(project, more=0):
    """Pages go as others are written, or come: so some are."""
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        def within():
            cursor.execute("INSERT INTO poke VALUES (1)")
            cursor.execute("CHECKPOINT")
            return local_bytes(project) < LIMIT + SLACK + more
        wait_until(within, seconds=60, what="a cache within its bound")


def forget_local_pages(project):
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"], ignore_errors=True)


def test_what_is_written_leaves_the_disk_once_storage_has_it(bounded_project):
    with session(bounded_project) as cursor:
        expected = ask(cursor, SUM.format(MADE.format(ROWS)))
        cursor.execute("CREATE TABLE poke (a int); CREATE TABLE t (a int, v int, b text)")
        cursor.execute("CREATE UNLOGGED TABLE u (a int, v int, b text); CREATE SEQUENCE s")
        cursor.execute(f"INSERT INTO t SELECT * FROM {MADE.format(ROWS)} m")
        wait_for_bound(bounded_project)
        assert ask(cursor, SUM.format("t")) == expected
        cursor.execute("CREATE INDEX ON t (a)")
        assert ask(cursor, SUM.format("t")) == expected
        assert ask(cursor, "SELECT nextval('s') FROM generate_series(1, 5)")[-1] == (5,)
        wait_for_bound(bounded_project)
        # What is nowhere else stays.
        cursor.execute(f"INSERT INTO u SELECT * FROM {MADE.format(ROWS // 4)} m")
        unlogged = ask(cursor, SUM.format("u"))
        wait_for_bound(bounded_project, more=24 << 20)
        assert ask(cursor, SUM.format("u")) == unlogged == ask(cursor, SUM.format(MADE.format(ROWS // 4)))
        assert ask(cursor, "SELECT nextval('s')") == [(6,)]
        cursor.execute("SELECT bt_index_check('t_a_idx', true)")
        cursor.execute("UPDATE t SET v = 0 WHERE a % 10 = 0")
        wait_for_bound(bounded_project, more=24 << 20)
        assert ask(cursor, SUM.format("t")) == expected
    bounded_project.suspend()
    with session(bounded_project) as cursor:
        assert ask(cursor, SUM.format("t")) == expected
        cursor.execute("TRUNCATE t; DROP TABLE u")
        cursor.execute(f"INSERT INTO t SELECT * FROM {MADE.format(ROWS)} m")
        wait_for_bound(bounded_project)
    forget_local_pages(bounded_project)
    with session(bounded_project) as cursor:
        assert ask(cursor, SUM.format("t")) == expected


def test_no_page_is_ever_an_old_one(bounded_project):
    """Deletes that a vacuum has made all visible before, rows that a statement reads and adds to, and transactions that tell
    their own commands apart: where pages come back from storage, each of them has gone wrong in another way."""
    with session(bounded_project) as cursor:
        cursor.execute("CREATE TABLE poke (a int); CREATE TABLE t (a int, v int, b text)")
        cursor.execute(f"INSERT INTO t SELECT * FROM {MADE.format(ROWS)} m")
        cursor.execute("CREATE INDEX ON t (a)")
        cursor.execute("VACUUM t")
        for digit in range(1, 4):
            cursor.execute(f"DELETE FROM t WHERE a % 10 = {digit}")
            assert cursor.rowcount == ROWS // 10
            assert ask(cursor, "SELECT count(*) FROM t") == [(ROWS // 10 * (10 - digit),)]
            cursor.execute("VACUUM t")
            assert ask(cursor, "SELECT count(*) FROM t") == [(ROWS // 10 * (10 - digit),)]
            assert ask(cursor, "SELECT count(*) FROM pg_check_visible('t')") == [(0,)]
        wait_for_bound(bounded_project)
        cursor.execute("INSERT INTO t SELECT a + 1000000, v, b FROM t")
        assert cursor.rowcount == ROWS // 10 * 7
        cursor.execute("BEGIN")
        cursor.execute("UPDATE t SET v = v + 1")
        assert cursor.rowcount == ROWS // 10 * 14
        cursor.execute("UPDATE t SET v = v + 1 WHERE a < 1000000")
        cursor.execute("DECLARE c CURSOR FOR SELECT count(*), sum(v) FROM t")
        cursor.execute("UPDATE t SET v = v + 10 WHERE a > 1000000")
        assert ask(cursor, "FETCH c") == [(ROWS // 10 * 14, ROWS // 10 * 21)]
        cursor.execute("COMMIT")
        assert ask(cursor, "SELECT count(*), sum(v) FROM t") == [(ROWS // 10 * 14, ROWS // 10 * 91)]
        cursor.execute("SELECT bt_index_check('t_a_idx', true)")


def test_clients_at_work_lose_nothing_to_the_bound(bounded_project):
    end = time.monotonic() + 12
    wrong = []

    def transfer(seed):
        choice = random.Random(seed)
        with session(bounded_project) as cursor:
            while time.monotonic() < end:
                first = choice.randrange(1, ROWS - 400)
                cursor.execute(f"WITH u AS (UPDATE t SET v = v + 1 WHERE a BETWEEN {first} AND {first + choice.randrange(300)} "
                               "RETURNING a) INSERT INTO h SELECT a, 1 FROM u")

    def look():
        with session(bounded_project) as cursor:
            while time.monotonic() < end and not wrong:
                wrong.extend(row for row in ask(cursor, "SELECT count(*), coalesce(sum(v), 0) - (SELECT coalesce(sum(d), 0) FROM h) FROM t")
                             if row != (ROWS, 0))

    def vacuum():
        with session(bounded_project) as cursor:
            while time.monotonic() < end:
                cursor.execute("VACUUM t")

    with session(bounded_project) as cursor:
        cursor.execute("CREATE TABLE poke (a int); CREATE TABLE t (a int, v int, b text); CREATE TABLE h (a int, d int)")
        cursor.execute(f"INSERT INTO t SELECT * FROM {MADE.format(ROWS)} m")
        cursor.execute("CREATE INDEX ON t (a)")
        threads = [threading.Thread(target=transfer, args=(seed,)) for seed in range(3)]
        threads += [threading.Thread(target=look), threading.Thread(target=vacuum)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert ask(cursor, "SELECT count(*) FROM pg_check_visible('t')") == [(0,)]
        cursor.execute("SELECT bt_index_check('t_a_idx', true)")
        by_row = "SELECT count(*) FROM (SELECT a, sum(d) AS d FROM h GROUP BY a) s FULL JOIN t USING (a) WHERE v <> coalesce(d, 0)"
        assert ask(cursor, by_row) == [(0,)]
        total = ask(cursor, "SELECT sum(v) FROM t")
        wait_for_bound(bounded_project)
    forget_local_pages(bounded_project)
    with session(bounded_project) as cursor:
        assert ask(cursor, by_row) == [(0,)]
        assert ask(cursor, "SELECT sum(v) FROM t") == total
