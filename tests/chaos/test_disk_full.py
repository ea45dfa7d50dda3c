"""A disk that is really full: a small file system under the home, filled to its last block."""

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from fixtures.load import start_writers, stop_writers
from fixtures.platform import Platform, wait_until

CLONE_NEWNS = 0x20000
SIZE = 800 << 20  # More than `up` wants to see free.
FULL = r"nearly full|is full|No space left on device|ended unexpectedly|exited|did not start|not suspended cleanly|cannot record"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the small file system")


@contextlib.contextmanager
def small_file_system():
    """A folder on an ext4 of its own, seen by this process and its children only, so that it cannot be left behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    image = tempfile.NamedTemporaryFile(prefix="halogen-disk-", dir="/var/tmp")
    image.truncate(SIZE)
    folder = Path(tempfile.mkdtemp(prefix="halogen-full-", dir="/var/tmp"))
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image.name], check=True)
    looped = subprocess.run(["mount", "-o", "loop", image.name, folder], capture_output=True, text=True)
    if looped.returncode != 0:  # A container without loop devices: memory can be full, too.
        print(looped.stderr)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()
        image.close()


class Ballast:
    """A file that takes all room there is."""

    def __init__(self, folder):
        self.path = folder / "ballast"

    def fill(self, leave=0):
        while (room := shutil.disk_usage(self.path.parent).free - leave) > 4096:
            size = self.path.stat().st_size if self.path.exists() else 0
            with open(self.path, "ab") as file, contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), size, room)
                continue
            with open(self.path, "ab", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            return

    def remove(self):
        self.path.unlink()


@pytest.fixture
def disk():
    with small_file_system() as folder:
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
