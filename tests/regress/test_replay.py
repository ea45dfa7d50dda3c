"""Replay is truth: what storage rebuilds from WAL is what Postgres itself has, page by page and as a dump."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fixtures import suite
from fixtures.platform import BUILD
from fixtures.replay import compare_database

PGBIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def loaded(project, platform):
    """A project whose database has been through pgbench."""
    platform.set_pg_setting(project, "autovacuum", "off")
    project.suspend()
    project.query("select 1")
    target = project.superuser_string("neondb")
    keep = project.connect()
    subprocess.run([PGBIN / "pgbench", "-i", "-q", "-s", "5", "--foreign-keys", target], check=True, capture_output=True)
    subprocess.run([PGBIN / "pgbench", "-n", "-c", "8", "-j", "2", "-t", "1000", target], check=True, capture_output=True)
    project.query("vacuum analyze pgbench_accounts")
    yield project
    keep.close()


def dump(project, database="neondb"):
    done = subprocess.run([PGBIN / "pg_dump", "--no-unlogged-table-data", project.superuser_string(database)], check=True,
                          capture_output=True, text=True)
    # pg_dump guards its output with a key that is new each time.
    return [line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def test_pages_after_pgbench_equal_the_computes_own(loaded, platform):
    assert compare_database(platform, loaded, "neondb") > 8000


def test_a_fresh_compute_dumps_the_same_after_pgbench(project, platform):
    project.query("select 1")
    target = project.superuser_string("neondb")
    keep = project.connect()
    subprocess.run([PGBIN / "pgbench", "-i", "-q", "-s", "2", target], check=True, capture_output=True)
    subprocess.run([PGBIN / "pgbench", "-n", "-c", "8", "-t", "500", target], check=True, capture_output=True)
    before = dump(project)
    keep.close()
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    project.wake()
    assert_same(dump(project), before)


def shim_status(project):
    manifest = project.compute()["data_directory"] + ".manifest"
    words = subprocess.run([BUILD / "bin/shim_testbed", "status", manifest], check=True, capture_output=True, text=True).stdout.split()
    return {key: int(value) for key, value in (word.split("=") for word in words)}


def assert_same(lines, before):
    differing = [pair for pair in zip(before, lines) if pair[0] != pair[1]]
    assert not differing and len(lines) == len(before), differing[:5]


@pytest.mark.timeout(1800)
def test_the_core_regression_suite_passes_and_replays(tmp_path):
    # The smallest there is: also what the tests have written is given up, and read from storage again.
    with suite.project_without_room("--cache-size", "16MB") as project:
        passes_and_replays(project, tmp_path)


def passes_and_replays(project, tmp_path):
    platform = project.platform
    # So few that pages are read from storage in the middle of what is done with them.
    suite.prepare(platform, project, shared_buffers="1MB")
    keep = project.connect()
    assert suite.run(suite.past_the_proxy(project), tmp_path) == 217
    assert shim_status(project)["written_evicted"] > 1000

    keep.close()
    platform.set_pg_setting(project, "autovacuum", "off")
    project.suspend()
    keep = project.connect()
    assert compare_database(platform, project, "regression") > 3000
    before = dump(project, "regression")
    keep.close()
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    project.wake()
    assert_same(dump(project, "regression"), before)
