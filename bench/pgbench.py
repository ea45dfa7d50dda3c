"""pgbench TPC-B, -N and -S at 8 clients: Halogen against stock PostgreSQL with durable defaults, in turns.

Two comparisons: inside (both by unix socket: what storage costs) and outside (both by TCP with TLS: stock's own
TLS against our proxy). Each round runs both, the second of one round first in the next, and gives one ratio; printed
are the medians and the range of the ratios, which says how quiet the machine was.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

from fixtures.platform import Platform, free_port  # noqa: E402
from stock import PGBIN, run, stock_postgres  # noqa: E402

SETTLE = 10  # Seconds for what the load leaves behind: writing back there, layer files here.
WORKLOADS = {"tpcb": ("TPC-B", []), "simple": ("-N", ["-N"]), "select": ("-S", ["-S"])}


def pgbench(target, seconds, clients, extra):
    out = run([PGBIN / "pgbench", "-n", "-T", seconds, "-c", clients, "-j", "2", "-M", "prepared", *extra, target])
    return float(re.search(r"tps = ([\d.]+)", out.stdout).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--outside", action="store_true", help="by TCP and TLS instead of unix sockets")
    options = parser.parse_args()
    port = free_port()
    with stock_postgres(port) as socket_folder, Platform.create("bench") as platform:
        project = platform.create_project()
        project.query("select 1")
        if options.outside:
            stock = f"host=127.0.0.1 port={port} user=cloud_admin dbname=postgres sslmode=require"
            ours = project.connection_string()
        else:
            stock = f"host={socket_folder} port={port} user=cloud_admin dbname=postgres"
            ours = project.superuser_string("neondb")
        platform.set_suspend_timeout(project, -1)  # pgbench past the proxy keeps no endpoint awake.
        for target in (stock, ours):
            run([PGBIN / "pgbench", "-i", "-q", "-s", options.scale, target])
        run([PGBIN / "psql", stock, "-c", "checkpoint"])
        time.sleep(SETTLE)
        print("| workload | stock tps | halogen tps | ratio | ratios |\n|---|---|---|---|---|")
        for name, extra in (WORKLOADS[workload] for workload in options.workloads):
            figures = {stock: [], ours: []}
            for number in range(options.rounds):
                for target in (stock, ours) if number % 2 == 0 else (ours, stock):
                    figures[target].append(pgbench(target, options.seconds, options.clients, extra))
            ratios = [b / a for a, b in zip(figures[stock], figures[ours])]
            print(f"| {name} | {statistics.median(figures[stock]):.0f} | {statistics.median(figures[ours]):.0f} "
                  f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    main()
