"""Layer files that the object store has may leave the disk: what is read is the same, and waits while the store is away."""

import contextlib
import re
import shutil
import threading

import psycopg2
import pytest

from fixtures.object_store import FAST, component, digest, fill, wait_until_copied
from fixtures.platform import Platform, Project, wait_until

LIMIT = 1 << 20
SMALL = ("--layer-cache-size", str(LIMIT))


def layers(platform, suffix=".layer"):
    return list((platform.home / "pageserver/timelines").glob(f"*/layers/*{suffix}"))


def bytes_here(platform):
    total = 0
    for path in layers(platform):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass  # It has just left.
    return total


def wait_for_bound(platform):
    wait_until(lambda: bytes_here(platform) <= LIMIT, seconds=60, what="a cache within its bound")


def metric(platform, name):
    return float(re.search(rf"^{name} (\S+)", platform.metrics(), re.M).group(1))


def forget_pages(project, *branches):
    """What is read next is storage's: no compute has a page of its own."""
    for branch in (None, *branches):
        project.suspend(branch)
        shutil.rmtree(project.compute(branch)["data_directory"], ignore_errors=True)


def pages_of_table(project):
    """Where the table's pages are in storage, and as of when: (timeline, (spc, db, rel, fork), pages, LSN)."""
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute("checkpoint")
        cursor.execute("select (select oid from pg_database where datname = current_database()), relfilenode, "
                       "pg_relation_size(oid) / 8192, pg_current_wal_flush_lsn() from pg_class where relname = 't'")
        database, node, pages, lsn = cursor.fetchone()
    return project.compute()["timeline"], (1663, database, node, 0), pages, lsn


def read_table(platform, place):
    timeline, tag, pages, lsn = place
    return b"".join(platform.read_pages(timeline, tag, first, min(64, pages - first), lsn) for first in range(0, pages, 64))


def works(call):
    try:
        return call()
    except psycopg2.Error:
        return False


def test_what_left_the_disk_comes_back_as_it_was(folder):
    with Platform.create("cache", "--object-store", f"file://{folder}/disk/objects", *FAST, *SMALL) as platform:
        project = platform.create_project()
        fill(project, 10000)
        project.create_branch("dev")
        project.query("delete from t where i % 2 = 0", branch="dev")
        project.query("update t set filler = reverse(filler) where i % 3 = 0")
        expected, of_branch = digest(project), digest(project, "dev")
        place = pages_of_table(project)
        pages = read_table(platform, place)
        assert len(pages) > LIMIT
        forget_pages(project, "dev")
        wait_until_copied(platform)
        platform.down()  # Nor has storage any in its memory.
        platform.up()
        wait_until_copied(platform)
        wait_for_bound(platform)
        assert len(layers(platform, ".copy")) > 3
        assert read_table(platform, place) == pages
        assert digest(project) == expected
        assert digest(project, "dev") == of_branch
        assert metric(platform, "halogen_pageserver_layer_fetches_total") > 3
        wait_for_bound(platform)
        assert "in the object store alone" in component(platform, "layer cache")["detail"]

        # While the store is away the platform starts, and what is not here waits for it.
        forget_pages(project, "dev")
        wait_until_copied(platform)
        wait_for_bound(platform)
        platform.down()
        (folder / "disk").rename(folder / "moved")
        platform.up()
        waiting = threading.Thread(target=lambda: works(lambda: digest(project)))
        waiting.start()
        wait_until(lambda: component(platform, "layer cache")["state"] == "away", what="the news")
        (folder / "moved").rename(folder / "disk")
        wait_until(lambda: works(lambda: digest(project) == expected), seconds=90, what="the store's return")
        waiting.join()
        assert digest(project, "dev") == of_branch
        assert read_table(platform, place) == pages

        # The check knows what is where.
        wait_for_bound(platform)
        platform.check_storage()
        assert "layer files are in the object store alone" in platform.cli("storage", "check", "--here-alone")
        note = next(path for path in layers(platform, ".copy") if not path.with_suffix("").exists())
        note.unlink()
        assert note.with_suffix("").name in platform.cli("storage", "check", "--here-alone", check=False).stdout


def test_a_home_that_leaves_its_store_takes_all_with_it(folder):
    with Platform.create("leaving", "--object-store", f"file://{folder}/disk/objects", *FAST, *SMALL) as platform:
        project = platform.create_project()
        fill(project, 20000)
        expected = digest(project)
        forget_pages(project)
        wait_until_copied(platform)
        wait_for_bound(platform)
        platform.down()
        (folder / "disk").rename(folder / "moved")
        platform.up_arguments = (*FAST, "--object-store", "none")
        refused = platform.up(check=False)
        assert refused.returncode != 0 and "is still needed" in refused.stderr, refused.stderr
        (folder / "moved").rename(folder / "disk")
        platform.up()
        shutil.rmtree(folder / "disk")
        assert digest(project) == expected
        platform.check_storage()


def test_a_new_machine_starts_without_its_layers_and_one_bad_branch_keeps_no_other_back(folder):
    url, key = f"file://{folder}/disk/objects", ("--object-store-key-file", str(folder / "key"))
    with Platform.create("old", "--object-store", url, *key, *FAST) as old:
        project, other = old.create_project(), old.create_project("other")
        for each in (project, other):
            fill(each, 20000)
        expected = digest(project)
        bad = old.api("GET", f"/api/v2/projects/{other.id}/branches")["branches"][0]["id"]
        bad_timeline = other.compute()["timeline"]
        project.suspend()
        other.suspend()
        wait_until_copied(old)
        old.kill()
        shutil.rmtree(old.home)
    manifest = max((folder / "disk/objects/timelines" / bad_timeline).glob("manifest-*"))
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    with Platform.create("new", "--from", url, *key, *FAST, *SMALL) as new:
        assert len(layers(new, ".copy")) > len(layers(new)), "files come when they are read"
        back = Project(new, project.id)
        assert digest(back) == expected
        assert metric(new, "halogen_pageserver_layer_fetches_total") > 0
        assert bad in component(new, "branches")["detail"]
        assert f"branch {bad} was not brought back" in new.log_text()
        with pytest.raises(psycopg2.Error):
            Project(new, other.id).query("select 1")
        back.query("insert into t values (-1, 'goes on')")
        wait_until(lambda: component(new, "object store")["state"] == "running", seconds=60, what="the first copy from here")
        assert manifest.exists(), "what cannot be read may be wanted"


def test_a_branch_that_was_made_too_late_for_the_store_begins_anew(folder):
    with Platform.create("late", "--object-store", f"file://{folder}/disk/objects", *FAST) as platform:
        project = platform.create_project()
        fill(project, 3000)
        wait_until_copied(platform)
        platform.down()
        # From here on nothing is copied.
        (folder / "disk").rename(folder / "moved")
        platform.up()
        project.create_branch("late")
        project.query("delete from t where i > 100", branch="late")
        project.create_branch("later", parent="late")
        project.query("insert into t values (-1, 'later')", branch="later")
        project.query("update t set filler = 'main' where i < 1000")
        expected = [digest(project, branch) for branch in (None, "late", "later")]
        platform.kill()
        shutil.rmtree(platform.home / "pageserver")
        (folder / "moved").rename(folder / "disk")
        platform.up()
        assert [digest(project, branch) for branch in (None, "late", "later")] == expected
        assert component(platform, "branches") is None
        platform.check_storage()
