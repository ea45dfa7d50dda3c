"""The pooler against PgBouncer on the same compute, and against stock Postgres without a pooler; all by TLS and SCRAM.

Rates (pgbench), CPU per transaction of the pooler itself, connects per second, memory per idle client and latency while
they are held, crowds, messages of 32 MB. Rounds take turns, in an order of chance; ratios are of medians. Takes 150 s; `--full` measures every combination, in more than an hour,
and `--only` picks parts. `--before PROGRAM` measures another build of `halogen` in the same turns, with a compute of its own.
"""

import argparse
import contextlib
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

import psycopg  # noqa: E402

import pgbouncer  # noqa: E402
from fixtures.many import Clients  # noqa: E402
from fixtures.platform import Platform, free_port  # noqa: E402
from stock import PGBIN, require_scram, run, stock_postgres, url  # noqa: E402

POOL = 20
TICK = os.sysconf("SC_CLK_TCK")


class Way:
    """One way to a database: its string, and where the pooler's own CPU time and memory are to be seen."""

    def __init__(self, name, string, pid=None, threads=None):
        self.name, self.string, self.pid, self.threads = name, string, pid, threads
        self.whole_process = False

    def cpu(self):
        """Seconds the pooler has used."""
        if self.pid is None:
            return None
        if self.threads is None:
            return cpu_seconds(Path(f"/proc/{self.pid}/stat"))
        tasks = [task for task in Path(f"/proc/{self.pid}/task").iterdir()
                 if (task / "comm").read_text().startswith(self.threads)]
        self.whole_process = not tasks
        return sum(cpu_seconds(task / "stat") for task in tasks) if tasks else cpu_seconds(Path(f"/proc/{self.pid}/stat"))

    def rss(self):
        """Bytes of memory in use."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text()).group(1)) * 1024


def cpu_seconds(stat):
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def pgbench(way, seconds, clients, mode, extra, log=None):
    """Transactions per second, the pooler's CPU in microseconds per transaction, median latency in microseconds."""
    # Time runs from before the clients are connected: more of it for more of them, and twice that if none came through.
    for allowance in (clients / 40, clients / 10):
        args = [PGBIN / "pgbench", "-n", "-T", seconds + round(allowance), "-c", clients, "-j", min(2, clients), "-M", mode, "-P", 1, *extra]
        process = subprocess.Popen([str(a) for a in [*args, *(["-l", "--log-prefix", log] if log else []), way.string]],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        cpu = cpu_per_transaction(way, process.stderr)
        said, complaint = process.communicate()
        if process.returncode != 0 or re.search(r"number of failed transactions: [1-9]", said):
            raise RuntimeError(said + complaint)
        if not re.search(r"actually processed: 0\b", said):
            tps = float(re.search(r"tps = ([\d.]+)", said).group(1))
            return tps, cpu, median_latency(log) if log else None
    raise RuntimeError(said)


def cpu_per_transaction(way, progress):
    """In microseconds, from the first line of progress to the last: without what it costs to connect."""
    transactions, marks = 0, []
    for line in progress:
        found = re.match(r"progress: [\d.]+ s, ([\d.]+) tps", line)
        if not found or way.pid is None:
            continue
        marks.append((time.monotonic(), way.cpu()))
        if len(marks) > 1:
            transactions += float(found.group(1)) * (marks[-1][0] - marks[-2][0])
    return (marks[-1][1] - marks[0][1]) / transactions * 1e6 if transactions else None


def median_latency(prefix):
    times = []
    for file in Path(prefix).parent.glob(Path(prefix).name + "*"):
        times += [int(line.split()[2]) for line in file.read_text().splitlines()]
        file.unlink()
    return statistics.median(times)


def figure(value, digits=0):
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(ours, theirs):
    return "-" if not ours or not theirs else f"{ours / theirs:.2f}"


def medians(rounds):
    return [statistics.median(known) if (known := [v for v in column if v is not None]) else None for column in zip(*rounds)]


def rates(ways, options):
    print("\n| pgbench | clients | " + " | ".join(f"{way.name} tps" for way in ways) +
          " | ours / PgBouncer | ours / Postgres | ours / before | CPU us " + " / ".join(w.name for w in ways) + " | p50 us " +
          " / ".join(w.name for w in ways) + " |")
    print("|---" * (len(ways) + 7) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for workload in options.workloads:
            for mode in options.modes:
                for clients in options.clients:
                    # pgbench prepares in its way between transactions and waits for that with a whole thread, so that those
                    # of its clients that have all the servers do not go on: with any pooler.
                    if workload == "N" and mode == "prepared" and clients > POOL:
                        continue
                    figures = {way.name: [] for way in ways}
                    for _ in range(options.rounds):
                        for way in random.sample(ways, len(ways)):
                            if mode == "prepared" and way.name == "pgbouncer" and \
                                    not pgbouncer.knows_prepared_statements(options.pgbouncer):
                                continue
                            log = f"{folder}/log" if clients == 1 else None
                            figures[way.name].append(pgbench(way, options.seconds, clients, mode, [f"-{workload}"], log))
                    result = {name: medians(rounds) if rounds else [None] * 3 for name, rounds in figures.items()}
                    empty = [None] * 3
                    ours, theirs, stock, before = (result.get(n, empty) for n in ("pooled", "pgbouncer", "postgres", "before"))
                    print(f"| -{workload} {mode} | {clients} | " + " | ".join(figure(result[way.name][0]) for way in ways) +
                          f" | {ratio(ours[0], theirs[0])} | {ratio(ours[0], stock[0])} | {ratio(ours[0], before[0])} | " +
                          " / ".join(figure(result[way.name][1], 1) for way in ways) + " | " +
                          " / ".join(figure(result[way.name][2]) for way in ways) + " |", flush=True)


def connects(ways, options):
    print("\n| pgbench -C -S, 8 clients | connects per second | CPU us per connect |\n|---|---|---|")
    figures = {way.name: [] for way in ways}
    for _ in range(options.rounds):
        for way in random.sample(ways, len(ways)):
            figures[way.name].append(pgbench(way, options.seconds, 8, "simple", ["-S", "-C"])[:2])
    for name, rounds in figures.items():
        tps, cpu = medians(rounds)
        print(f"| {name} | {tps:.0f} | {figure(cpu)} |", flush=True)


def memory(ways, options):
    print("\n| idle TLS clients | | KB per client | connects/s | errors | p50 us | p99 us | lost while idle |\n" + "|---" * 8 + "|")
    ways = [way for way in ways if way.pid is not None]
    before = {way.name: way.rss() for way in ways}  # Once: what clients leave, the next ones take.
    for count in options.idle:
        for way in ways:
            with Clients(count, [way.string]) as clients:
                asked = clients.tell("query 3 4")
                held = (way.rss() - before[way.name]) / count / 1024
                lost = clients.tell("check")["disturbed"]
            errors = clients.connected["errors"] + asked["errors"]
            print(f"| {count} | {way.name} | {held:.1f} | {clients.connected['per_second']} | {errors} | {asked['p50_us']} | "
                  f"{asked['p99_us']} | {lost} |" + (f" {clients.connected['first_error']}{asked['first_error']}" if errors else ""),
                  flush=True)


def crowd(ways, options):
    """Far more clients than servers, all with a query under way: what counts is that nobody waits much longer than others."""
    print("\n| crowd of clients | | queries/s | CPU us per query | p50 ms | p99 ms | p99 / p50 | longest ms | errors |\n" + "|---" * 9 + "|")
    for count in options.crowds:
        for way in [way for _ in range(options.rounds) for way in random.sample(ways, len(ways)) if way.pid is not None]:
            with Clients(count, [way.string]) as clients:
                cpu = way.cpu()
                told = clients.tell(f"crowd {options.seconds * 3}")
                cpu = (way.cpu() - cpu) / max(told["queries"], 1) * 1e6
            p50, p99, longest = (told[name] / 1000 for name in ("p50_us", "p99_us", "max_us"))
            print(f"| {count} | {way.name} | {told['per_second']} | {cpu:.0f} | {p50:.0f} | {p99:.0f} | {ratio(p99, p50)} | {longest:.0f} | "
                  f"{told['errors']}{told['first_error']} |", flush=True)


LARGE = {
    "statement (Query)": lambda connection, text: connection.execute(f"select length('{text}')"),
    "statement (Parse)": lambda connection, text: connection.execute(f"select length('{text}')", prepare=True),
    "parameter (Bind)": lambda connection, text: connection.execute("select length(%s)", [text]),
    "row": lambda connection, text: connection.execute(f"select repeat('x', {len(text)})").fetchone(),
    "notice": lambda connection, text: connection.execute(f"do $$ begin raise notice '%', repeat('x', {len(text)}); end $$"),
}


def large(ways, options):
    """Messages of 32 MB: how long one takes, and how long another client of the same pooler waits meanwhile."""
    print("\n| 32 MB, ms | " + " | ".join(f"{way.name} | its neighbour" for way in ways) + " |\n|---" + "|---" * 2 * len(ways) + "|")
    text = "x" * (32 << 20)
    for name, send in LARGE.items():
        cells = []
        for way in ways:
            with psycopg.connect(way.string, autocommit=True) as connection, Neighbour(way.string) as neighbour:
                send(connection, text)
                begin = time.monotonic()
                for _ in range(options.rounds):
                    send(connection, text)
                took = (time.monotonic() - begin) / options.rounds
            cells.append(f"{took * 1000:.0f} | {neighbour.longest * 1000:.0f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


class Neighbour:
    """Asks for one row again and again, from a thread of its own."""

    def __init__(self, string):
        self.connection = psycopg.connect(string, autocommit=True)
        self.longest, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        while not self.ended.is_set():
            begin = time.monotonic()
            self.connection.execute("select 1")
            self.longest = max(self.longest, time.monotonic() - begin)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.connection.close()


@contextlib.contextmanager
def all_ways(options):
    """Stock Postgres, and one compute of ours with both poolers before it. Suspending is off."""
    port, bouncer_port = free_port(), free_port()
    with stock_postgres(port, max_connections=600) as stock_folder, contextlib.ExitStack() as stack:
        # PgBouncer cannot say the compute's login secret.
        ours, project = our_way(stack, "pooled", options, "--unsafe-without=login_secret", *options.up)
        ways = [ours]
        if options.before:
            ways.append(our_way(stack, "before", options, program=options.before)[0])
        socket_folder = project.compute()["socket_folder"]
        user = re.search(r"//(.*?):", ours.string).group(1)
        verifier = require_scram(stock_folder, port, user)
        for target in (f"host={stock_folder} port={port} user={user} dbname=neondb", *(way.string for way in ways)):
            run([PGBIN / "pgbench", "-i", "-q", "-s", options.scale, target])
        if pgbouncer.version(options.pgbouncer):
            owner = Path(socket_folder).owner()
            pid = stack.enter_context(pgbouncer.pgbouncer(bouncer_port, socket_folder, owner, "neondb", user, verifier,
                                                          options.servers, options.pgbouncer))
            ways.append(Way("pgbouncer", url(user, bouncer_port), pid))
        else:
            print("PgBouncer is not installed (apt-get install pgbouncer): measured without it")
        ways.append(Way("postgres", url(user, port)))
        yield ways


def our_way(stack, name, options, *up_arguments, **platform_options):
    """To a new project of a new platform; that project, too."""
    platform = stack.enter_context(Platform.create("bench", *up_arguments, **platform_options))
    project = platform.create_project()
    platform.set_suspend_timeout(project, -1)
    platform.set_pooler(project, default_pool_size=options.servers)
    project.query("select 1")
    # The name would lead to ::1, the others are reached by 127.0.0.1.
    return Way(name, project.connection_string(pooled=True) + "&hostaddr=127.0.0.1", platform.pid(), "proxy"), project


PARTS = {"rates": rates, "connects": connects, "memory": memory, "crowd": crowd, "large": large}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all combinations, and up to 10,000 clients")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--workloads", nargs="+", choices=["S", "N"])
    parser.add_argument("--modes", nargs="+", choices=["simple", "extended", "prepared"])
    parser.add_argument("--clients", nargs="+", type=int)
    parser.add_argument("--idle", nargs="*", type=int)
    parser.add_argument("--crowds", nargs="*", type=int, help="numbers of clients that all ask at once")
    parser.add_argument("--servers", type=int, default=POOL, help="of each pooler")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--scale", type=int)
    parser.add_argument("--pgbouncer", default=pgbouncer.PROGRAM, help="another one than Debian's")
    parser.add_argument("--ways", nargs="+", choices=["pooled", "before", "pgbouncer", "postgres"], help="only these")
    parser.add_argument("--up", action="append", default=[], metavar="OPTION", help="of `halogen up`, for this build: --up=--isolation=none")
    parser.add_argument("--before", help="another build of halogen, to be measured beside this one")
    options = parser.parse_args()
    quick, full = ({"workloads": ["S"], "modes": ["simple", "prepared"], "clients": [1, 64], "idle": [1000], "crowds": [1000], "rounds": 2,
                    "seconds": 3, "scale": 5},
                   {"workloads": ["S", "N"], "modes": ["simple", "extended", "prepared"], "clients": [1, 8, 64, 500],
                    "idle": [1000, 5000, 10000], "crowds": [1000, 10000], "rounds": 3, "seconds": 8, "scale": 20})
    for name, value in (full if options.full else quick).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    with all_ways(options) as ways:
        ways = [way for way in ways if not options.ways or way.name in options.ways]
        version = pgbouncer.version(options.pgbouncer)
        print(f"PgBouncer {version and '.'.join(map(str, version))}, {options.servers} server connections each, {options.rounds} rounds of "
              f"{options.seconds} s")
        for part in options.only:
            PARTS[part](ways, options)
        if any(way.whole_process for way in ways):
            print("\nThe proxy's threads have no names of their own: its CPU is that of the whole platform.")


if __name__ == "__main__":
    main()
