"""A disk that is really full: a small file system under the home, filled to its last block."""

import os
import re
import shutil
from pathlib import Path

import pytest

from fixtures.disk import Ballast, small_file_system
from fixtures.load import start_writers, stop_writers
from fixtures.platform import Platform, wait_until

SIZE = 800 << 20  # More than `up` wants to see free.
FULL = r"nearly full|is full|No space left on device|ended unexpectedly|exited|did not start|not suspended cleanly|cannot record"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the small file system")


@pytest.fixture
def disk():
    with small_file_system(SIZE) as folder:
        home = folder / "home"
        home.mkdir()
        with Platform.running(home) as platform, platform.watch_log():
            platform.expect_log(FULL)
            yield platform, Ballast(folder)


def commits_go_on(writers, what):
    before = [writer.acknowledged for writer in writers]
    wait_until(lambda: all(w.acknowledged > b for w, b in zip(writers, before)), seconds=120, what=what)


def told(platform, pattern):
    wait_until(lambda: re.search(pattern, platform.log_text()), seconds=120, what=f"a line that says {pattern}")


def test_a_disk_that_fills_up_is_told_before_it_is_full_and_kept_data_directories_go(disk):
    platform, ballast = disk
    project = platform.create_project()
    project.query("create table t as select 7 as a")
    project.suspend()
    kept = Path(project.compute()["data_directory"])
    assert kept.is_dir()
    ballast.fill(leave=200 << 20)
    told(platform, r"WARN .*the disk of .* is nearly full .*make room on it")
    wait_until(lambda: not kept.exists(), what="the end of the kept data directory")
    ballast.remove()
    told(platform, r"INFO .*the disk of .* has room again")
    assert project.query("select a from t") == [(7,)]
    assert "ERROR" not in platform.log_text()
    platform.check_storage()


@pytest.mark.timeout(600)
def test_commits_wait_while_the_disk_is_full_and_go_on_when_there_is_room(disk):
    platform, ballast = disk
    project = platform.create_project()
    writers = start_writers(project, 4)
    commits_go_on(writers, "commits")
    ballast.fill()
    told(platform, r"ERROR .*the disk of .* is full .*make room on it")
    told(platform, r"No space left on device")
    ballast.remove()
    told(platform, r"INFO .*the disk of .* has room again")
    commits_go_on(writers, "commits after there was room again")
    stop_writers(project, writers)
    count = project.query("select count(*) from load")
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert project.query("select count(*) from load") == count
    platform.check_storage()


@pytest.mark.timeout(600)
def test_a_platform_that_dies_on_a_full_disk_says_what_to_do_and_has_lost_nothing(disk):
    platform, ballast = disk
    project = platform.create_project()
    writers = start_writers(project, 2)
    commits_go_on(writers, "commits")
    ballast.fill()
    told(platform, r"No space left on device")
    platform.kill()
    refused = platform.up(check=False)
    assert refused.returncode != 0
    assert "nearly full" in refused.stderr and "free some space" in refused.stderr
    ballast.remove()
    platform.up()
    commits_go_on(writers, "commits after there was room again")
    stop_writers(project, writers)
    platform.check_storage()
