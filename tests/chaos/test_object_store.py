"""Power is lost, or the platform killed, at any step of the copy in the object store, of bringing it back, and of forgetting history
meanwhile: nothing acknowledged is lost here, and the store brings back all that it had before.

HALOGEN_SEED repeats a run. HALOGEN_CHAOS_ROUNDS makes it longer (default 3; 100 come by every failpoint).
"""

import contextlib
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from chaos.test_kill import SEED
from chaos.test_power_loss import FAILPOINTS, TIMELINE, TINY_LAYERS, branches_are_whole, fail_once, load_of, number, oldest_lsn
from fixtures.load import start_writers, stop_writers
from fixtures.platform import Platform, Project, wait_until
from fixtures.power import Power
from fixtures.replay import compare_pages, take_pages

ROUNDS = int(os.environ.get("HALOGEN_CHAOS_ROUNDS", 3))
QUICK = ("--object-store-interval-ms", "200", "--object-store-grace-ms", "500", *TINY_LAYERS, "--history-interval-ms", "200")
SMALL_CACHE = ("--layer-cache-size", str(1 << 20))  # So that layer files leave the disk and come back.
OBJECTS = "objects/timelines/*"
# Steps of the copy. A folder's store writes an object under a hidden name, syncs it, and renames it.
UPLOAD = {
    "layer": ("write", OBJECTS + "/layers/.*"),
    "layer, its sync": ("sync", OBJECTS + "/layers/.*"),
    "layer, its name": ("rename", OBJECTS + "/layers/*"),
    "manifest, its name": ("rename", OBJECTS + "/manifest-*"),
    "manifest, its name's sync": ("sync", "objects/timelines/" + "?" * 32),
    "WAL": ("write", OBJECTS + "/wal/.*"),
    "WAL, its name": ("rename", OBJECTS + "/wal/*"),
    "WAL, what a longer piece replaces": ("unlink", OBJECTS + "/wal/*-*"),
    "catalog": ("write", "objects/catalog/.*"),
    "catalog, its name": ("rename", "objects/catalog/*"),
    "layer that is not named any more": ("unlink", OBJECTS + "/layers/*-*"),
}
# These come about when a platform has just started.
ATTACH = {
    "generation": ("write", "objects/generations/.*"),
    "generation, its name's sync": ("sync", "objects/generations"),
    "older generation": ("unlink", "objects/generations/0*"),
    "older catalog": ("unlink", "objects/catalog/0*"),
    "older manifest": ("unlink", OBJECTS + "/manifest-*"),
}
FORGETTING = {name: FAILPOINTS[name] for name in ("flush or merge, a layer", "flush or merge, its name", "merge, what it replaces",
                                                  "manifest, its name", "trim", "branch deletion, pageserver")}
CACHE = {
    "layer that leaves the disk, its note": ("write", TIMELINE + "/layers/*.copy*"),
    "layer that leaves the disk, its note's sync": ("sync", TIMELINE + "/layers/*.copy*"),
    "layer that leaves the disk": ("unlink", TIMELINE + "/layers/*.layer"),
    "layer that comes back, its name": ("rename", TIMELINE + "/layers/*.layer"),
}
POINTS = {**UPLOAD, **ATTACH, **FORGETTING, **CACHE}

DOWNLOAD = {
    "where it comes from": ("rename", "object_store.json"),
    "keys": ("rename", "catalog.keys"),
    "note of a layer": ("write", TIMELINE + "/layers/*.copy*"),
    "note of a layer, its sync": ("sync", TIMELINE + "/layers/*.copy*"),
    "layer that is read": ("write", TIMELINE + "/layers/*.tmp"),
    "layer that is read, its name": ("rename", TIMELINE + "/layers/*.layer"),
    "manifest, its name": ("rename", TIMELINE + "/manifest"),
    "template, its name": ("rename", "pageserver/templates/*"),
    "WAL": ("write", "safekeeper/*.restored.tmp/0*"),
    "WAL, its name": ("rename", "safekeeper/*"),
    "catalog": ("write", "catalog.restored*"),
    "catalog, its name": ("rename", "catalog.db"),
    "what was cut short is removed": ("unlink*", "pageserver/timelines/*"),
}
LOST_DISK = {name: DOWNLOAD[name] for name in ("note of a layer", "layer that is read", "layer that is read, its name", "manifest, its name",
                                               "template, its name")}


@pytest.fixture
def key():
    """Of the operator, in a folder that every user of this machine can write to."""
    with Platform.home_folder("store") as folder:
        os.chmod(folder, 0o777)
        path = Path(folder, "key")
        path.write_text("a long random line of the operator\n")
        yield path


def copied_to(objects, timeline):
    """Where the log of this timeline ends in the store."""
    pieces = sorted(piece.name for piece in (objects / "timelines" / timeline / "wal").glob("*-*"))
    return int(pieces[-1].split("-")[-1], 16) if pieces else 0


class Kept:
    """A branch of now, what it has, and its parent's pages where it begins. All of it is in the store."""

    def __init__(self, project, name):
        self.project, self.name = project, name
        objects = project.platform.home / "objects"
        with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
            cursor.execute("begin; lock table load in share mode")  # Writers wait.
            self.pages = take_pages(project, cursor, "public")
            self.load = load_of(project)
            # The end of a commit, beyond whatever a cut may have left in the store.
            project.query("select 1 from pg_logical_emit_message(true, '', repeat('x', 65536))")
            project.create_branch(name)
            branches = project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
            self.pages.lsn = next(branch for branch in branches if branch["name"] == name)["parent_lsn"]
            timeline = project.compute(name)["timeline"]
            wait_until(lambda: copied_to(objects, self.pages.timeline) >= number(self.pages.lsn)
                       and list((objects / "timelines" / timeline).glob("manifest-*"))
                       and any(name.encode() in catalog.read_bytes() for catalog in (objects / "catalog").glob("0*")),
                       seconds=90, what="the copy")
            cursor.execute("commit")

    def check(self, project):
        """It is the same on this platform."""
        assert load_of(project, self.name) == self.load
        with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
            cursor.execute("create schema if not exists halogen_test")
            assert compare_pages(project.platform, cursor, self.pages) > 0


def check_lost_machine(old, key, kept, writers):
    """What the store has right now is a whole platform, of at least what was there when a branch was kept last."""
    objects = key.parent / "objects"
    subprocess.run(["cp", "-a", old.home / "objects", objects], check=True)
    try:
        with Platform.create("new", "--from", f"file://{objects}", "--object-store-key-file", str(key), *QUICK, *SMALL_CACHE) as new:
            project = Project(new, kept[-1].project.id)
            least = dict(row[:2] for row in kept[-1].load)
            for lane, highest, count in load_of(project):
                assert highest == count, f"lane {lane} has a hole"
                assert least[lane] <= highest <= writers[lane].attempted
            kept[-1].check(project)
    finally:
        shutil.rmtree(objects)


def fail_at_start(power, platform, chance, round, failpoint):
    """As fail_once(), of what comes about after a start."""
    print(f"round {round}: {failpoint}", flush=True)
    platform.kill()
    power.cut_at(*POINTS[failpoint], chance.randint(1, 2), after=chance.random() < 0.5)
    if platform.up(check=False).returncode == 0:
        with contextlib.suppress(AssertionError):  # Not every step comes about in each round.
            wait_until(power.was_cut, seconds=6)
        platform.kill_if_it_runs()
    power.disarm()
    power.lose(chance.getrandbits(32))


@pytest.mark.timeout(7200)
def test_nothing_is_lost_at_any_failpoint_of_the_copy(key):
    """All that is old is forgotten at once, but for what branches stand on."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    with Power.running("store", *QUICK, *SMALL_CACHE, "--object-store-key-file", str(key), objects=True) as (power, platform):
        project = platform.create_project()
        platform.cli("projects", "update", project.id, "--history", "0")
        platform.set_pg_setting(project, "autovacuum", "off")
        writers, kept, order = start_writers(project, 4), [], list(POINTS)
        chance.shuffle(order)
        for round in range(ROUNDS):
            before = [writer.acknowledged for writer in writers]
            wait_until(lambda: all(w.acknowledged > b for w, b in zip(writers, before)), seconds=90, what="a commit of each")
            kept.append(Kept(project, f"kept-{round:04}"))
            failpoint = order[round % len(order)]
            if failpoint in ATTACH:
                fail_at_start(power, platform, chance, round, failpoint)
            else:
                fail_once(power, platform, project, chance, round, failpoint, POINTS)
            platform.cli("storage", "check")
            check_lost_machine(platform, key, kept, writers)
            platform.up()
            branches_are_whole(platform, project)
        stop_writers(project, writers)
        # More than one layer file's worth, so that history can end behind the last branch.
        project.query("create table more as select i, repeat(md5(i::text), 20) from generate_series(1, 4000) i")
        for one in kept:
            one.check(project)
        wait_until(lambda: number(oldest_lsn(project)) > number(kept[-1].pages.lsn), seconds=60, what="a horizon")
        assert "is damaged" not in platform.log_text()
        platform.check_storage()


def whole(project):
    return [project.query("select count(*), md5(string_agg(t::text, ',' order by i)) from t", branch=branch) for branch in (None, "dev")]


def start(platform, store):
    """Begins, or begins again; then reads everything. False: it was killed."""
    is_back = (platform.home / "catalog.db").exists()
    platform.up_arguments = (*platform.up_arguments[:2], *QUICK, *([] if is_back else store))
    return platform.up(check=False).returncode == 0


def killed_again_and_again(power, platform, chance, points, store, read, lose):
    """Each of these steps is the last of an attempt to start; what has come back is lost again. How many of the steps came about."""
    order, cuts = list(points), 0
    chance.shuffle(order)
    for round in range(max(ROUNDS, 4)):
        name = order[round % len(order)]
        power.cut_at(*points[name], chance.randint(1, 2), after=chance.random() < 0.5)
        is_back = start(platform, store)
        if is_back:
            with contextlib.suppress(Exception):  # It may have been killed.
                read()
            platform.kill_if_it_runs()
        print(f"round {round}: {name}, {'killed there' if power.was_cut() else 'killed later'}", flush=True)
        cuts += power.was_cut()
        power.disarm()
        power.lose(chance.getrandbits(32))
        if is_back:
            lose()
    return cuts


def remove_all_of(folder):
    for path in Path(folder).iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.timeout(7200)
def test_what_is_killed_while_it_brings_back_is_begun_again(key):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    url, sealed = f"file://{key.parent}/objects", ("--object-store-key-file", str(key))
    with Platform.create("old", "--object-store", url, *sealed, *QUICK) as old:
        project = old.create_project()
        old.set_pg_setting(project, "autovacuum", "off")
        project.query("create table t (i int primary key, filler text)")
        for first in range(0, 20000, 5000):
            project.query("insert into t select i, repeat(md5(i::text), 4) from generate_series(%s, %s) i", first, first + 4999)
        project.create_branch("dev")
        project.query("delete from t where i % 2 = 0", branch="dev")
        with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
            pages = take_pages(project, cursor, "public")
        expected = whole(project)
        old.down()  # All of it is in the store then.

    with Power.beneath("back") as (power, new):
        project = Project(new, project.id)

        def check():
            assert whole(project) == expected
            with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
                assert compare_pages(new, cursor, pages) > 300

        store, read = ("--from", url, *sealed), lambda: whole(project)
        assert killed_again_and_again(power, new, chance, DOWNLOAD, store, read, lambda: remove_all_of(new.home)) > 0
        assert start(new, store), new.log_tail()
        check()
        lose_pages = lambda: shutil.rmtree(new.home / "pageserver")
        new.kill()
        power.lose(chance.getrandbits(32))
        lose_pages()
        assert killed_again_and_again(power, new, chance, LOST_DISK, store, read, lose_pages) > 0
        assert start(new, store), new.log_tail()
        check()
        new.check_storage()
