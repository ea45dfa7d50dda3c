"""A compute boots wherever history ends: it has all up to there, and nothing of what came after."""

import random
import time

import pytest

from chaos.test_kill import SEED, Writer
from fixtures.platform import wait_until

MOMENTS = 20


@pytest.mark.timeout(600)
def test_branches_at_any_moment_of_a_write_load_are_whole(project):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    project.query("create table load (lane int, i bigint, pad text, primary key (lane, i))")
    writers = [Writer(project, lane) for lane in range(4)]
    for writer in writers:
        writer.start()
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
    for writer in writers:
        writer.stop = True
    for writer in writers:
        writer.join(60)
