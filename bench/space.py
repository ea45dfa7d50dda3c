"""Space of a project whose history is bounded, while it is written to: pgbench for some minutes, sampled, against the size of what is live.

Printed: the database's size, what storage has of it on disk at the most and at the end, and the WAL that was written meanwhile, of which only
the last `--window` seconds can still be read.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

from fixtures.platform import Platform  # noqa: E402
from stock import PGBIN, run  # noqa: E402


def number(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Sampler:
    def __init__(self, project):
        self.platform, self.project = project.platform, project
        branch = self.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"][0]
        self.path = f"/api/v2/projects/{project.id}/branches/{branch['id']}"
        self.first_lsn, self.samples, self.begin = self.lsn(), [], time.monotonic()

    def lsn(self):
        return number(self.project.query("select pg_current_wal_lsn()::text")[0][0])

    def sample(self):
        live = self.project.query("select pg_database_size(current_database())")[0][0]
        storage = self.platform.api("GET", self.path)["branch"]["storage"]
        layers = sum(file.stat().st_size for file in self.platform.home.glob("pageserver/timelines/*/layers/*"))
        wal = sum(file.stat().st_blocks * 512 for file in self.platform.home.glob("safekeeper/*/0*"))
        written = self.lsn() - self.first_lsn
        self.samples.append((live, layers, storage["own_bytes"], storage["history_bytes"], wal, written))
        print(f"| {time.monotonic() - self.begin:.0f} | " + " | ".join(f"{bytes_ / 1e6:.0f}" for bytes_ in self.samples[-1])
              + f" | {layers / live:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--window", type=int, default=60, help="of history, in seconds")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with Platform.create("space", "--history-interval-ms", "5000") as platform:
        project = platform.create_project()
        platform.cli("projects", "update", project.id, "--history", str(options.window))
        project.wake()
        target = project.superuser_string("neondb")
        run([PGBIN / "pgbench", "-i", "-q", "-s", options.scale, target])
        sampler = Sampler(project)
        print("| s | live, MB | layer files | of the branch | of it history | WAL kept | WAL written | files to live |\n|---|---|---|---|---|---|---|---|")
        sampler.sample()
        load = subprocess.Popen([PGBIN / "pgbench", "-n", "-T", str(options.seconds), "-c", str(options.clients), "-j", "2", "-M", "prepared",
                                 target], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while load.poll() is None:
            time.sleep(15)
            sampler.sample()
        print(load.stdout.read())
        for _ in range(4):  # What is due goes in the background.
            time.sleep(15)
            sampler.sample()
        ratios = [layers / live for live, layers, *_ in sampler.samples]
        print(f"files to live: median {statistics.median(ratios):.2f}, at most {max(ratios):.2f}, at the end {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()
