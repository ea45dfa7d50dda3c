"""What a server keeps of storage's pages is bounded, and where there is no room for any it reads all the same."""

import os


import pytest

from fixtures.disk import Ballast, small_file_system
from shim.shim_harness import SHIM, Compute, PageService, give_to_postgres, plain_copy
from shim.test_shim_race import stress

LIMIT = 24 << 20  # Of about 100 MB.
SLACK = 8 << 20  # Small forks, catalogs, what Postgres itself writes.
TABLES = ("pgbench_accounts", "gaps", "wide", "spaced", "doomed")


def local_bytes(compute):
    return sum(file.stat().st_blocks * 512 for file in compute.files())


def read_all(compute):
    return [compute.sql(f"select count(*), sum(hashtextextended(t::text, 0)::numeric) from {table} t")
            for table in TABLES]


def test_the_cache_is_bounded_and_what_is_read_is_right(source, folder, second_folder):
    with plain_copy(source, second_folder) as plain:
        expected = read_all(plain)
    with PageService(source, folder / "pages.sock"), Compute(folder, source, cache_bytes=LIMIT) as compute:
        for _ in range(3):
            assert read_all(compute) == expected
            assert local_bytes(compute) < LIMIT + SLACK
        status = compute.status()
        print(status, local_bytes(compute))
        assert status["pages_evicted"] > 2 * LIMIT / 8192


def test_nothing_written_is_ever_lost_to_an_eviction(source, folder):
    wrong, status = stress(folder, source, SHIM, 10, cache_bytes=LIMIT)
    assert not wrong
    assert status["pages_evicted"] > 1000, "the race was not met"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount the small file system")
def test_a_full_disk_keeps_nobody_from_reading(source, folder, second_folder):
    with plain_copy(source, second_folder) as plain:
        expected = read_all(plain)
    with small_file_system(400 << 20) as disk:
        disk.chmod(0o755)
        give_to_postgres(disk)
        with PageService(source, disk / "pages.sock"), Compute(disk, source, shared_buffers="256MB") as compute:
            # No buffer has to be written back to make room: what hint bits have changed finds none on the disk.
            connection = compute.connect()  # While there is room for what a backend writes at its start.
            cursor = connection.cursor()
            cursor.execute("select 1 from pgbench_accounts where false")
            ballast = Ballast(disk)
            ballast.fill()
            for table, result in zip(TABLES, expected):
                cursor.execute(f"select count(*), sum(hashtextextended(t::text, 0)::numeric) from {table} t")
                assert cursor.fetchall() == result, table
                ballast.fill()  # What was evicted has made room.
            status = compute.status()
            assert status["pages_not_kept"] > 100, status
            assert "the disk is full: pages are read from storage each time" in compute.log.read_text()
            ballast.remove()
            cursor.execute("update gaps set t = 'x' where id < 1000")
            connection.close()
