#!/usr/bin/env python3
"""What a small local cache costs: a table of several times its size is filled, indexed, read and changed by one running
compute, in turns with a compute whose cache holds all. Printed are the medians of the rounds, what the compute's data
directory took at most (looked at all the time), and at the end of a round."""

import argparse
import contextlib
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from fixtures.platform import Platform  # noqa: E402

MB = 1 << 20
STEPS = {
    "insert": "INSERT INTO t SELECT i, 0, repeat('x', 300) FROM generate_series(1, {rows}) i",
    "create index": "CREATE INDEX ON t (a)",
    "read": "SELECT count(*), sum(v) FROM t",
    "update a tenth": "UPDATE t SET v = 1 WHERE a % 10 = 0",
    "vacuum": "VACUUM t",
    "read again": "SELECT count(*), sum(v) FROM t",
}


def local_bytes(folder):
    total = 0
    for file in Path(folder).rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_blocks * 512 if file.parent.name != "pg_wal" else 0
    return total


class Watch:
    """The most that a folder takes while this lasts."""

    def __init__(self, folder):
        self.folder, self.most, self.over = folder, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(0.2):
            self.most = max(self.most, local_bytes(self.folder))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def one_round(project, rows):
    project.suspend()
    times = {}
    with contextlib.closing(project.connect()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (a int, v int, b text)")
        with Watch(project.compute()["data_directory"]) as watch:
            for step, sql in STEPS.items():
                begin = time.perf_counter()
                cursor.execute(sql.format(rows=rows))
                times[step] = time.perf_counter() - begin
    return times, watch.most / MB, local_bytes(watch.folder) / MB


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of about 340 bytes")
    parser.add_argument("--cache", type=int, default=64, help="MB, of the small one")
    options = parser.parse_args()
    results = {"small": [], "large": []}
    with Platform.create("cache-small", "--cache-size", f"{options.cache}MB") as small, \
            Platform.create("cache-large", "--cache-size", "100GB") as large:
        projects = {"small": small.create_project(), "large": large.create_project()}
        for project in projects.values():
            project.query("SELECT 1")
        for turn in range(options.rounds):
            for name in sorted(projects, reverse=turn % 2 == 0):
                results[name].append(one_round(projects[name], options.rows))
    print(f"| s | all is here | {options.cache} MB | ratio |\n|---|---|---|---|")
    for step in STEPS:
        large, small = (statistics.median(times[step] for times, _, _ in results[name]) for name in ("large", "small"))
        print(f"| {step} | {large:.2f} | {small:.2f} | {small / large:.2f} |")
    for what, place in (("at most, MB", 1), ("at the end, MB", 2)):
        large, small = (statistics.median(result[place] for result in results[name]) for name in ("large", "small"))
        print(f"| {what} | {large:.0f} | {small:.0f} | |")


if __name__ == "__main__":
    main()
