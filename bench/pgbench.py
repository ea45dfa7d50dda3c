"""pgbench TPC-B, -N and -S: Halogen against stock PostgreSQL with durable defaults, in turns.

Two comparisons: inside (both by unix socket: what storage costs) and outside (both by TCP with TLS: stock's own
TLS against our proxy). Each round runs both, the second of one round first in the next, and gives one ratio; printed
are the medians and the range of the ratios, which says how quiet the machine was.
"""

import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

from fixtures.platform import BUILD, Platform, free_port  # noqa: E402
from stock import PGBIN, run, stock_postgres  # noqa: E402

SETTLE = 10  # Seconds for what the load leaves behind: writing back there, layer files here.
WORKLOADS = {"tpcb": ("TPC-B", []), "simple": ("-N", ["-N"]), "select": ("-S", ["-S"])}


def pgbench(target, seconds, clients, extra):
    out = run([PGBIN / "pgbench", "-n", "-T", seconds, "-c", clients, "-j", "2", "-M", "prepared", *extra, target])
    return float(re.search(r"tps = ([\d.]+)", out.stdout).group(1))


def slow_libraries(folder, slow):
    """Arguments of `halogen up` whose computes sync slowly, too."""
    if not slow:
        return ()
    os.chmod(folder, 0o755)
    for file in (BUILD / "lib").iterdir():
        shutil.copy(BUILD / "lib/libhalogen_shim_slow_sync.so" if file.name == "libhalogen_shim.so" else file, Path(folder) / file.name)
    return ("--libraries", folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[8])
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--outside", action="store_true", help="by TCP and TLS instead of unix sockets")
    parser.add_argument("--slow-sync", action="store_true", help="each sync of either takes a millisecond more")
    options = parser.parse_args()
    port = free_port()
    slow = BUILD / "lib/libhalogen_slow_sync.so" if options.slow_sync else None
    with (stock_postgres(port, preload=slow) as socket_folder, tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
          Platform.create("bench", *slow_libraries(folder, slow), environment={"LD_PRELOAD": str(slow)} if slow else {}) as platform):
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
        print("| clients | workload | stock tps | halogen tps | ratio | ratios |\n|---|---|---|---|---|---|")
        for clients in options.clients:
            for workload in options.workloads:
                compare(stock, ours, clients, *WORKLOADS[workload], options)


def compare(stock, ours, clients, name, extra, options):
    """A line of the table."""
    figures = {stock: [], ours: []}
    for number in range(options.rounds):
        for target in (stock, ours) if number % 2 == 0 else (ours, stock):
            figures[target].append(pgbench(target, options.seconds, clients, extra))
    ratios = [b / a for a, b in zip(figures[stock], figures[ours])]
    print(f"| {clients} | {name} | {statistics.median(figures[stock]):.0f} | {statistics.median(figures[ours]):.0f} "
          f"| {statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    main()
