"""Storage: WAL in, pages out (bench_storage), and a cold sequential scan through the shim against stock's scans.

The scan reads one table once on a compute whose data directory has just been made, so that every page comes from
storage; stock reads it from the disk (its files dropped from the kernel's cache), and then from that cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

import psycopg2  # noqa: E402

from fixtures.platform import BIN, Platform, free_port  # noqa: E402
from stock import PGBIN, run, stock_postgres  # noqa: E402

SCAN = "select count(*) from pgbench_accounts"


def forget(folder):
    """What the kernel has cached of these files, so that they are read from the disk again."""
    os.sync()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def scan(target):
    """Seconds for the scan, on a new connection, by one process."""
    connection = psycopg2.connect(target)
    with connection.cursor() as cursor:
        cursor.execute("set max_parallel_workers_per_gather = 0")
        begin = time.perf_counter()
        cursor.execute(SCAN)
        seconds = time.perf_counter() - begin
    connection.close()
    return seconds


def awake(project):
    """Its compute by unix socket: what is measured is storage, not the proxy."""
    project.wake()
    return project.superuser_string("neondb")


def fresh(project):
    """The same on a new data directory. The old one is only renamed: deleting it would disturb."""
    project.suspend()
    data = Path(project.compute()["data_directory"])
    data.rename(data.with_name(f"aside-{time.monotonic_ns()}"))
    return awake(project)


def scans(rounds, scale):
    port = free_port()
    with stock_postgres(port) as root, Platform.create("bench") as platform:
        stock = f"host={root} port={port} user=cloud_admin dbname=postgres"
        project = platform.create_project()
        ours = awake(project)
        for target in (stock, ours):
            run([PGBIN / "pgbench", "-i", "-q", "-s", scale, target])
        run([PGBIN / "psql", stock, "-c", "checkpoint"])
        times = {"stock, files in the kernel's cache": [], "stock, from the disk": [], "halogen, every page from storage": []}
        warm, disk, cold = times.values()
        for _ in range(rounds):
            warm.append(scan(stock))
            forget(root / "data/base")
            disk.append(scan(stock))
            cold.append(scan(fresh(project)))
        bytes_ = query(stock, "select pg_relation_size('pgbench_accounts')")
    print(f"\n| scan of {bytes_ / 1e6:.0f} MB, one process | s | MB/s | speed against stock from the disk |\n|---|---|---|---|")
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(disk, seconds))
        median = statistics.median(seconds)
        print(f"| {name} | {median:.2f} | {bytes_ / 1e6 / median:.0f} | {ratio:.2f} |", flush=True)


def query(target, sql):
    connection = psycopg2.connect(target)
    with connection.cursor() as cursor:
        cursor.execute(sql)
        value = cursor.fetchone()[0]
    connection.close()
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transactions", type=int, default=10000, help="of pgbench, for the WAL, by each of 4 clients")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=int, default=20)
    parser.add_argument("--only", choices=["alone", "scans"])
    options = parser.parse_args()
    if options.only != "scans":
        subprocess.run([BIN.parent / "bench_storage", str(options.transactions)], check=True)
    if options.only != "alone":
        scans(options.rounds, options.scale)


if __name__ == "__main__":
    main()
