"""From connect to the first row of a table, compute suspended: data directory kept, and on a fresh skeleton.

Runs twice: with a small database, and after 20,000 relations were made.
"""

import argparse
import shutil
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

import psycopg2  # noqa: E402

from fixtures.platform import Platform  # noqa: E402


def first_row(project, string):
    start = time.perf_counter()
    connection = psycopg2.connect(string)
    with connection.cursor() as cursor:
        cursor.execute("select v from t where i = 77")
        assert cursor.fetchone() == ("v77",)
    elapsed = time.perf_counter() - start
    connection.close()
    return elapsed * 1000


def measure(project, rounds, fresh):
    string = project.connection_string()
    times = []
    for _ in range(rounds):
        project.suspend()
        if fresh:
            shutil.rmtree(project.compute()["data_directory"])
        time.sleep(0.3)  # Let the suspend's own work end: the figure is for otherwise idle cores.
        times.append(first_row(project, string))
    return times


def row(name, times):
    times = sorted(times)
    p99 = times[min(len(times) - 1, round(0.99 * len(times)))]
    print(f"| {name} | {statistics.median(times):.0f} | {p99:.0f} | {times[0]:.0f} | {times[-1]:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--relations", type=int, default=20000)
    options = parser.parse_args()
    with Platform.create("bench") as platform:
        project = platform.create_project()
        project.query("create table t as select i, 'v' || i v from generate_series(1, 1000) i; create index on t (i)")
        awake = [first_row(project, project.connection_string()) for _ in range(options.rounds)]
        print("| cold start, ms | p50 | p99 | min | max |\n|---|---|---|---|---|")
        row("already awake", awake)
        row("kept data directory", measure(project, options.rounds, fresh=False))
        row("fresh skeleton", measure(project, options.rounds, fresh=True))
        for first in range(0, options.relations, 500):
            project.query(f"do $$ begin for i in {first}..{first + 499} loop execute format('create table r%s (i int)', i); end loop; end $$")
        row(f"kept data directory, {options.relations} relations", measure(project, options.rounds, fresh=False))
        row(f"fresh skeleton, {options.relations} relations", measure(project, options.rounds, fresh=True))


if __name__ == "__main__":
    main()
