"""From connect to the first row of a table, compute suspended: data directory kept, and on a fresh skeleton.

Two projects on one platform, one with a few relations and one with 20,000, woken in turns, so that what disturbs
one disturbs the other. Then where the time goes: the agent's own steps out of the platform's log, and the rest.
"""

import argparse
import os
import re
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

import psycopg2  # noqa: E402

from fixtures.platform import Platform, free_port  # noqa: E402
from stock import require_scram, stock_postgres, url  # noqa: E402

AWAKE = re.compile(r"(ep-[a-z0-9-]+): awake at \S+ in term \d+, (?:kept|new) data directory: (.*), total ([\d.]+) ms")
SETTLE = 1.8  # Seconds for what a suspend and a wake leave to do: the figure is for otherwise idle cores.


TABLE = "create table t as select i, 'v' || i v from generate_series(1, 1000) i; create index on t (i)"


def connect(string):
    """Milliseconds to a connection, and from there to the row."""
    begin = time.perf_counter()
    connection = psycopg2.connect(string)
    connected = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("select v from t where i = 77")
        assert cursor.fetchone() == ("v77",)
    end = time.perf_counter()
    connection.close()
    return (connected - begin) * 1000, (end - connected) * 1000


class Subject:
    """A project, its figures by case, and what its wakes' log lines said."""

    def __init__(self, platform, name, relations):
        self.name = name
        self.platform = platform
        self.project = platform.create_project(name)
        self.string = self.project.connection_string()
        self.endpoint = self.project.endpoint()
        self.totals = {}
        self.steps = {}
        self.project.query(TABLE)
        for first in range(0, relations, 500):
            last = min(first + 500, relations) - 1
            self.project.query(f"do $$ begin for i in {first}..{last} loop execute format('create table r%s (i int)', i); end loop; end $$")

    def awake(self, case):
        self.totals.setdefault(case, []).append(sum(connect(self.string)))

    def wake(self, case, graveyard=None):
        self.project.suspend()
        if graveyard:
            # Only renamed: deleting thousands of files now would be measured with the wake.
            os.rename(self.project.compute()["data_directory"], graveyard / f"{self.endpoint}-{time.monotonic_ns()}")
        time.sleep(SETTLE)
        log_from = self.platform.log_file.stat().st_size
        connected, query = connect(self.string)
        self.totals.setdefault(case, []).append(connected + query)
        steps, total = self.agent_steps(log_from)
        steps["session"] = connected - total  # Proxy, TLS, SCRAM, the backend's own start.
        steps["query"] = query
        self.steps.setdefault(case, []).append(steps)

    def agent_steps(self, log_from):
        with open(self.platform.log_file) as log:
            log.seek(log_from)
            for line in log:
                if (found := AWAKE.search(line)) and found[1] == self.endpoint:
                    return {name: float(ms) for name, ms in re.findall(r"(\w+) ([\d.]+)", found[2])}, float(found[3])
        raise AssertionError("the platform's log does not tell of this wake")


def percentile(times, part):
    times = sorted(times)
    return times[min(len(times) - 1, int(part * len(times)))]


def report(subjects, stock, rounds):
    print(f"\n| cold start, ms ({rounds} wakes each) | p50 | p99 | min | max |\n|---|---|---|---|---|")
    print(f"| a running stock server, TLS and SCRAM | {statistics.median(stock):.0f} | {percentile(stock, 0.99):.0f} "
          f"| {min(stock):.0f} | {max(stock):.0f} |")
    for case in subjects[0].totals:
        for subject in subjects:
            times = subject.totals[case]
            print(f"| {case}, {subject.name} | {statistics.median(times):.0f} | {percentile(times, 0.99):.0f} "
                  f"| {min(times):.0f} | {max(times):.0f} |")
    for case in subjects[0].steps:
        steps = list(dict.fromkeys(step for subject in subjects for one in subject.steps[case] for step in one))
        print(f"\n| {case}: medians, ms | {' | '.join(steps)} |\n|---|{'---|' * len(steps)}")
        for subject in subjects:
            medians = [statistics.median(one.get(step, 0) for one in subject.steps[case]) for step in steps]
            print(f"| {subject.name} | {' | '.join(f'{ms:.1f}' for ms in medians)} |")
    print("\nterm: a new term at the safekeeper; ingest: storage reaches the last LSN; reuse, skeleton, files: the data "
          "directory;\nspawn, postgres: the server up to READY and the safekeeper's pull; session: proxy, TLS, SCRAM and "
          "the backend's start.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--relations", type=int, default=20000, help="0: only the project with a few relations")
    options = parser.parse_args()
    port = free_port()
    with Platform.create("bench") as platform, stock_postgres(port) as stock_folder:
        require_scram(stock_folder, port, "owner")
        string = url("owner", port)
        connection = psycopg2.connect(string)
        connection.cursor().execute(TABLE)
        connection.commit()
        connection.close()
        stock = []
        subjects = [Subject(platform, "few relations", 0)]
        if options.relations:
            subjects.append(Subject(platform, f"{options.relations} relations", options.relations))
        graveyard = platform.home / "graveyard"
        graveyard.mkdir()
        for _ in range(options.rounds):
            stock.append(sum(connect(string)))
            for subject in subjects:
                subject.awake("already awake")
                subject.wake("kept data directory")
                subject.wake("fresh skeleton", graveyard)
        report(subjects, stock, options.rounds)


if __name__ == "__main__":
    main()
