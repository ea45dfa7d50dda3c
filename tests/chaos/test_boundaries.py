"""A compute boots wherever history ends: it has all up to there, and nothing of what came after."""

import contextlib
import random
import time

import pytest

from chaos.test_kill import SEED
from fixtures.load import start_writers, stop_writers
from fixtures.platform import wait_until

PAGE, SEGMENT = 8192, 16 << 20
# Bytes between the end of history and the end of its WAL page or segment: none, too few for the header of the checkpoint
# record that a boot begins with (24), or for the rest of that record (120 in all), just enough, and plenty.
ROOM = [(PAGE, 0), (PAGE, 8), (PAGE, 16), (PAGE, 24), (PAGE, 64), (PAGE, 112), (PAGE, 120), (PAGE, 128), (PAGE, 4096),
        (SEGMENT, 0), (SEGMENT, 8), (SEGMENT, 64), (SEGMENT, 120)]
MOMENTS = 20


def insert_lsn(cursor):
    cursor.execute("select pg_current_wal_insert_lsn() - '0/0'")
    return int(cursor.fetchone()[0])


def end_history(cursor, unit, room):
    """One commit whose record ends `room` bytes before the end of a page or segment, if nothing else is logged meanwhile."""
    message, commit, header, more = 54, 40, 24, 16  # Bytes of the records beside the text; of each page, of a segment's first.
    at = insert_lsn(cursor)
    end = (at + 2000 + unit - 1) // unit * unit - room
    if end < at + 1000:
        end += unit
    headers = (end - 1) // PAGE - at // PAGE
    size = end - at - headers * header - ((end - 1) // SEGMENT - at // SEGMENT) * more - commit - message
    cursor.execute("select pg_logical_emit_message(true, '', repeat('x', %s))", (size,))


def parent_lsn(platform, project, name):
    branches = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
    high, low = next(branch for branch in branches if branch["name"] == name)["parent_lsn"].split("/")
    return int(high, 16) << 32 | int(low, 16)


@pytest.mark.parametrize("unit, room", ROOM)
def test_a_compute_boots_wherever_in_a_wal_page_history_ends(project, platform, unit, room):
    project.query("create table t as select i from generate_series(1, 100) i")
    # Not `with connection`: that would be one long transaction.
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        for attempt in range(20):  # The server logs things of its own now and then.
            end_history(cursor, unit, room)
            name = f"end-{attempt}"
            project.create_branch(name)
            if -parent_lsn(platform, project, name) % unit == room:
                break
        else:
            raise AssertionError("history never ended where it should")
    project.query("insert into t values (-1)")
    assert project.query("select count(*), min(i) from t", branch=name) == [(100, 1)]
    project.query("insert into t select i from generate_series(101, 5000) i", branch=name)
    project.suspend(name)
    assert project.query("select count(*), min(i) from t", branch=name) == [(5000, 1)]


@pytest.mark.timeout(600)
def test_branches_at_any_moment_of_a_write_load_are_whole(project):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    writers = start_writers(project, 4)
    wait_until(lambda: all(writer.acknowledged > 20 for writer in writers), seconds=60, what="commits")
    for moment in range(MOMENTS):
        time.sleep(chance.uniform(0, 0.2))
        name = f"moment-{moment}"
        before = [writer.acknowledged for writer in writers]
        project.create_branch(name)
        after = [writer.attempted for writer in writers]
        for lane, lowest, highest, count in project.query("select lane, min(i), max(i), count(*) from load group by lane",
                                                          branch=name):
            assert lowest == 1 and count == highest, f"lane {lane} has a hole"
            assert before[lane] <= highest <= after[lane]
        with project.superuser("neondb", branch=name) as connection, connection.cursor() as cursor:
            cursor.execute("create extension if not exists amcheck")
            cursor.execute("select bt_index_check('load_pkey', true)")
        project.suspend(name)
    stop_writers(project, writers)
