"""What branches cost: to create one at the head and in the past, the first query on it, to restore and to reset one.

`--gigabytes` of a table in the parent; no figure should depend on it. To load is longer than to measure: `--home` keeps what was loaded
for the next run (`--load` does no more than that).
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

import psycopg2  # noqa: E402

from fixtures.platform import Platform, Project  # noqa: E402

ROW_BYTES = 1000


def fill(project, gigabytes):
    """A table; returns a moment after which there are some more commits."""
    with project.connect() as connection, connection.cursor() as cursor:
        cursor.execute("create table t (i int primary key, filler text)")
        for first in range(0, int(gigabytes * 1e9 / ROW_BYTES), 100_000):
            cursor.execute("insert into t select i, repeat(md5(i::text), 30) from generate_series(%s::int, %s) i",
                           (first, first + 99_999))
    moment = project.query("select clock_timestamp()")[0][0].isoformat()
    for i in range(1, 11):
        project.query("insert into t values (%s, '')", -i)
    return moment


class Bench:
    def __init__(self, platform, project):
        self.platform, self.project = platform, project
        self.path = f"/api/v2/projects/{project.id}/branches"
        self.times = {}

    def timed(self, name, work):
        begin = time.perf_counter()
        answer = work()
        self.times.setdefault(name, []).append((time.perf_counter() - begin) * 1000)
        return answer

    def post(self, name, path, body):
        return self.timed(name, lambda: self.platform.api("POST", self.path + path, body))

    def first_query(self, name, string):
        def query():
            connection = psycopg2.connect(string)
            with connection.cursor() as cursor:
                cursor.execute("select i from t where i = 5")
                assert cursor.fetchone() == (5,)
            connection.close()
        self.timed(name, query)

    def round(self, number, moment):
        made = self.post("create at the head", "", {"branch": {"name": f"head-{number}"}, "endpoints": [{"type": "read_write"}]})
        past = self.post("create in the past", "", {"branch": {"name": f"past-{number}", "parent_timestamp": moment},
                                                      "endpoints": [{"type": "read_write"}]})
        self.first_query("first query, at the head", made["connection_uris"][0]["connection_uri"])
        self.first_query("first query, in the past", past["connection_uris"][0]["connection_uri"])
        main = made["branch"]["parent_id"]
        restore = f"/{made['branch']['id']}/restore"
        self.post("restore, running", restore, {"source_branch_id": main, "source_timestamp": moment})
        self.first_query("first query after it", made["connection_uris"][0]["connection_uri"])
        self.project.suspend(f"head-{number}")
        self.post("reset, suspended", restore, {"source_branch_id": main})
        for branch in (made, past):
            self.platform.api("DELETE", f"{self.path}/{branch['branch']['id']}")

    def print(self):
        for name, times in self.times.items():
            times = sorted(times)
            print(f"{name:26} p50 {statistics.median(times):7.1f} ms   p99 {times[int(len(times) * 0.99)]:7.1f} ms")


MOMENT = "moment"  # A file in the home: the project and a moment in its past.


@contextlib.contextmanager
def loaded(home, gigabytes):
    """A platform whose first project has the table: that project, and a moment after which there are some more commits."""
    with contextlib.ExitStack() as stack:
        if home is None:
            home = stack.enter_context(Platform.home_folder("branches"))
        os.makedirs(home, 0o755, exist_ok=True)
        platform = stack.enter_context(Platform.running(home))
        note = Path(home, MOMENT)
        if note.exists():
            id, moment = note.read_text().split()
            yield Project(platform, id), moment
        else:
            project = platform.create_project()
            moment = fill(project, gigabytes)
            note.write_text(f"{project.id} {moment}")
            yield project, moment


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--gigabytes", type=float, default=1)
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--home", help="what was loaded there is used again, and stays")
    arguments.add_argument("--load", action="store_true")
    options = arguments.parse_args()
    with loaded(options.home, options.gigabytes) as (project, moment):
        if options.load:
            return
        bench = Bench(project.platform, project)
        for number in range(options.rounds):
            bench.round(number, moment)
        size = project.query("select pg_database_size(current_database())")[0][0]
        print(f"a database of {size / 1e9:.1f} GB, {options.rounds} rounds")
        bench.print()


if __name__ == "__main__":
    main()
