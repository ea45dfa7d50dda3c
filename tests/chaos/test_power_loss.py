"""Power is lost, or the platform killed, at any step of storage and catalog: nothing acknowledged is lost, and all of history is
as Postgres had it.

HALOGEN_SEED repeats a run. HALOGEN_CHAOS_ROUNDS makes it longer (default 4; 300 takes half an hour and comes by every failpoint
several times).
"""

import contextlib
import os
import random
import threading
import time

import pytest

from chaos.test_kill import SEED
from fixtures.load import start_writers, stop_writers
from fixtures.platform import is_gone, wait_until
from fixtures.power import Power
from fixtures.replay import compare_pages, take_pages

ROUNDS = int(os.environ.get("HALOGEN_CHAOS_ROUNDS", 4))
TINY_LAYERS = ("--layer-kb", "256", "--merge-files", "4")
TIMELINE = "pageserver/timelines/*"
# A step of the platform and the files that it is on.
FAILPOINTS = {
    "flush or merge, a layer": ("write", TIMELINE + "/layers/*.tmp"),
    "flush or merge, its sync": ("sync", TIMELINE + "/layers/*.tmp"),
    "flush or merge, its name": ("rename", TIMELINE + "/layers/*.layer"),
    "merge, what it replaces": ("unlink", TIMELINE + "/layers/*.layer"),
    "manifest": ("write", TIMELINE + "/manifest.tmp"),
    "manifest, its name": ("rename", TIMELINE + "/manifest"),
    "manifest, its sync": ("sync", TIMELINE),
    "commit": ("write", "safekeeper/*/0*"),
    "commit, its sync": ("sync", "safekeeper/*/0*"),
    "term or flush on record": ("write", "safekeeper/*/state"),
    "term or flush on record, its sync": ("sync", "safekeeper/*/state"),
    "segment": ("create", "safekeeper/*/0*"),
    "segment, its sync": ("sync", "safekeeper/*"),
    "trim": ("unlink", "safekeeper/*/0*"),
    "branch creation, safekeeper": ("rename", "safekeeper/*"),
    "branch creation, its folder": ("mkdir", TIMELINE),
    "branch deletion, safekeeper": ("rename", "safekeeper/*.deleted"),
    "branch deletion, pageserver": ("unlink", TIMELINE + "/manifest"),
    "branch deletion, its folder": ("rmdir", TIMELINE),
    "catalog, suspend included": ("write", "catalog.db-wal"),
    "catalog, suspend included, its sync": ("sync", "catalog.db-wal"),
}


class Mover(threading.Thread):
    """Makes, wakes, suspends and deletes branches, until the platform is gone."""

    def __init__(self, project, round):
        super().__init__(daemon=True)
        self.project, self.round, self.stop = project, round, False

    def cli(self, *arguments):
        done = self.project.platform.cli(*arguments, "--project", self.project.id, check=False)
        self.stop = self.stop or done.returncode != 0

    def run(self):
        for i in range(100):
            name = f"b-{self.round}-{i}"
            for arguments in (("branches", "create", "--name", name), ("wake", "--branch", name), ("suspend", "--branch", name),
                              ("branches", "delete", name), ("suspend",)):
                if self.stop:
                    return
                self.cli(*arguments)


def take(project, schema="public"):
    """Pages at one LSN, while the writers wait."""
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute("begin; lock table load in share mode")
        pages = take_pages(project, cursor, schema)
        cursor.execute("commit")
        return pages


def compare(project, pages):
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        return compare_pages(project.platform, cursor, pages)


def branches_are_whole(platform, project):
    """What was half made or half deleted is gone; the rest can be read, and is deleted."""
    branches = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
    for branch in branches:
        if branch["default"] or branch["name"].startswith("kept-"):
            continue
        rows = project.query("select lane, max(i), count(*) from load group by lane", branch=branch["name"])
        assert all(highest == count for lane, highest, count in rows), f"{branch['name']} has a hole: {rows}"
        platform.cli("branches", "delete", branch["name"], "--project", project.id)


def fail_once(power, platform, project, chance, round, failpoint, points=None):
    """The platform is killed at this step, or later if it does not come about, and power may be lost. It is down afterwards."""
    step, path = (points or FAILPOINTS)[failpoint]
    lost = chance.random() < 0.7
    print(f"round {round}: {failpoint}, {'power lost' if lost else 'killed'}", flush=True)
    pid = platform.pid()
    power.cut_at(step, path, chance.randint(1, 4), after=chance.random() < 0.5)
    mover = Mover(project, round)
    mover.start()
    until = time.monotonic() + 6
    while not is_gone(pid) and time.monotonic() < until:  # Not every step comes about in each round.
        time.sleep(0.02)
    mover.stop = True
    platform.kill_pid(pid)
    mover.join()
    power.disarm()
    if lost:
        power.lose(chance.getrandbits(32))


def oldest_lsn(project):
    branch = next(b for b in project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"] if b["default"])
    return project.platform.api("GET", f"/api/v2/projects/{project.id}/branches/{branch['id']}")["branch"]["storage"]["oldest_lsn"]


def number(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def load_of(project, branch=None):
    return project.query("select lane, max(i), count(*) from load group by lane order by lane", branch=branch)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("history", ["all", "bounded"])
def test_nothing_is_lost_at_any_failpoint(history):
    """Bounded: all that is old is forgotten at once, but for what branches stand on."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with Power.running("power", *TINY_LAYERS, "--history-interval-ms", "200") as (power, platform):
        project = platform.create_project()
        if history == "bounded":
            platform.cli("projects", "update", project.id, "--history", "0")
        kept = {}
        platform.set_pg_setting(project, "autovacuum", "off")
        writers = start_writers(project, 4)
        saved = []
        order = list(FAILPOINTS)
        chance.shuffle(order)
        for round in range(ROUNDS):
            wait_until(lambda: all(w.acknowledged for w in writers), seconds=90, what="a commit of each")
            saved.append(take(project))
            platform.cli("branches", "create", "--name", f"kept-{round}", "--project", project.id)
            kept[f"kept-{round}"] = load_of(project, f"kept-{round}")
            fail_once(power, platform, project, chance, round, order[round % len(order)])
            platform.up()
            before = [writer.acknowledged for writer in writers]
            wait_until(lambda: all(w.acknowledged > b for w, b in zip(writers, before)), seconds=90, what="commits after it")
            branches_are_whole(platform, project)
        stop_writers(project, writers)
        for pages in chance.sample(saved, min(8, len(saved))) if history == "all" else ():
            assert compare(project, pages) > 0
        for branch, load in kept.items():
            assert load_of(project, branch) == load
        assert compare(project, take(project, schema=None)) > 500
        if history == "bounded":
            wait_until(lambda: number(oldest_lsn(project)) > number(saved[-1].lsn), seconds=30, what="a horizon")
        assert "is damaged" not in platform.log_text()
        platform.check_storage()


def is_seen_to_be_lost(power, platform, project):
    """Whether something acknowledged is missing after a loss of power, or is refused as damaged."""
    project.query("create table t (i int)")
    for seed in range(10):
        project.query("insert into t select generate_series(1, 1000)")
        before = project.query("select count(*) from t")
        platform.kill()
        power.lose(seed)
        if platform.up(check=False).returncode != 0:
            return True
        try:
            if project.query("select count(*) from t") != before:
                return True
        except Exception as error:  # The log is damaged, or behind the pageserver: that is found, too.
            print(error)
            return True
    return False


def test_a_safekeeper_that_does_not_sync_is_found_out():
    """What the test above is worth: without the safekeeper's syncs it must fail."""
    with Power.running("unsynced", not_synced="safekeeper/*/0*") as (power, platform):
        assert is_seen_to_be_lost(power, platform, platform.create_project())


def test_a_compute_that_does_not_sync_its_log_is_found_out():
    """The same of commits that Postgres writes in place."""
    with Power.running("unsynced-compute") as (power, platform):
        project = platform.create_project()
        project.wake()
        power.forget_syncs_of(project)
        assert is_seen_to_be_lost(power, platform, project)
