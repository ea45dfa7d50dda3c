"""SQL over HTTP and WebSockets, by the serverless driver, against node-postgres over a pooled TCP connection.

One query, `select $1::int`, in turns by each, from one client and from several at once, and without Node; the first query
over HTTP after a suspend; memory of the platform for a session at rest in a WebSocket, and for one over TCP.
"""

import argparse
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

import psycopg  # noqa: E402
import psycopg2  # noqa: E402

from fixtures.node import FOLDER, install, node  # noqa: E402
from fixtures.platform import Platform  # noqa: E402

FIRST = """
import { neon } from "@neondatabase/serverless";
import { url } from "./setup.mjs";
const begin = performance.now();
await neon(url)`select 1`;
console.log(performance.now() - begin);
"""


def measure(platform, string, **settings):
    return json.loads(node(platform, string, "serverless/measure.mjs", SQL_PORT=str(platform.sql_port), timeout=600,
                           **{name: str(value) for name, value in settings.items()}))


def show(title, result):
    print(f"\n{title}\n{'':26}{'p50 ms':>10}{'p99 ms':>10}{'queries/s':>12}{'p50 / TCP':>12}")
    for kind, name in (("tcp", "TCP, node-postgres"), ("socket", "WebSocket, driver"), ("direct", "the same, not coalesced"),
                       ("http", "HTTP, driver (fetch)"), ("https", "HTTP, node:https"), ("fetch", "fetch without a query")):
        row = result[kind]
        print(f"{name:26}{row['p50']:10.2f}{row['p99']:10.2f}{row['rate']:12.0f}{row['p50'] / result['tcp']['p50']:12.2f}")
    print(f"server connections opened meanwhile: {result['connects']}")


def cpu_microseconds(platform):
    fields = Path(f"/proc/{platform.pid()}/stat").read_text().split(") ")[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


class RawHttp:
    """Requests without a client library, so that what is measured is ours."""

    def __init__(self, platform, string):
        context = ssl.create_default_context(cafile=platform.status()["ca_file"])
        host = "api." + urlsplit(string).hostname.split(".", 1)[1]
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", platform.sql_port)), server_hostname=host)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b'{"query":"select $1::int as n","params":["1"]}'
        self.request = (f"POST /sql HTTP/1.1\r\nHost: {host}\r\nNeon-Connection-String: {string}\r\nNeon-Raw-Text-Output: true\r\n"
                        f"Neon-Array-Mode: true\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body

    def ask(self):
        self.socket.sendall(self.request)
        answer = self.socket.recv(65536)
        assert b" 200 OK" in answer and answer.endswith(b"}"), answer


def show_raw(platform, string, queries, rounds):
    """The same query from one client that does next to nothing itself: libpq over TCP, a TLS socket for HTTP."""
    http = RawHttp(platform, string)
    with psycopg.connect(string, autocommit=True, prepare_threshold=None) as tcp:
        kinds = {"TCP, libpq": lambda: tcp.pgconn.exec_params(b"select $1::int as n", [b"1"]), "HTTP, a TLS socket": http.ask}
        times, cpu = {name: [] for name in kinds}, dict.fromkeys(kinds, 0)
        for round in range(-1, rounds):  # The first warms up.
            for name, ask in kinds.items():
                before = cpu_microseconds(platform)
                for _ in range(queries):
                    begin = time.perf_counter()
                    ask()
                    if round >= 0:
                        times[name].append((time.perf_counter() - begin) * 1000)
                if round >= 0:
                    cpu[name] += (cpu_microseconds(platform) - before) / queries / rounds
    print(f"\nWithout Node, one at a time\n{'':26}{'p50 ms':>10}{'p99 ms':>10}{'proxy us':>12}{'p50 / TCP':>12}")
    base = statistics.median(times["TCP, libpq"])
    for name, all in times.items():
        p50 = statistics.median(all)
        print(f"{name:26}{p50:10.3f}{sorted(all)[len(all) * 99 // 100]:10.3f}{cpu[name]:12.0f}{p50 / base:12.2f}")


def resident(platform):
    status = Path(f"/proc/{platform.pid()}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def hold_sockets(platform, string, count):
    install()
    env = {**os.environ, "DATABASE_URL": string, "SQL_PORT": str(platform.sql_port), "IDLE": str(count),
           "NODE_EXTRA_CA_CERTS": platform.status()["ca_file"]}
    program = subprocess.Popen(["node", "serverless/measure.mjs"], cwd=FOLDER, env=env, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    assert program.stdout.readline() == "held\n"
    return program


def hold_tcp(string, count):
    held = []
    for _ in range(count):
        held.append(psycopg2.connect(string))
        held[-1].autocommit = True
        held[-1].cursor().execute("select 1")
    return held


def idle_kib(platform, string, count):
    """For a session over TCP, and one in a WebSocket: of so many more each, beside so many that are there."""
    held = []

    def grown(hold):
        before = resident(platform)
        held.append(hold())
        time.sleep(1)
        return (resident(platform) - before) / count

    for _ in range(2):
        tcp = grown(lambda: hold_tcp(string, count))
        web = grown(lambda: hold_sockets(platform, string, count))
    for one in held:
        if isinstance(one, subprocess.Popen):
            one.stdin.close()
            one.wait()
    return tcp, web


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=2000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--idle", type=int, default=500)
    parser.add_argument("--wakes", type=int, default=10)
    options = parser.parse_args()
    with Platform.create("sql-http") as platform:
        project = platform.create_project()
        string = project.connection_string(pooled=True)
        project.query("select 1")
        show_raw(platform, string, options.queries, options.rounds)
        show("One at a time", measure(platform, string, N=options.queries, ROUNDS=options.rounds))
        show(f"{options.at_once} at once", measure(platform, string, N=options.queries, ROUNDS=options.rounds, AT_ONCE=options.at_once))
        wakes = []
        for _ in range(options.wakes):
            project.suspend()
            wakes.append(float(node(platform, string, "--input-type=module", "-e", FIRST, cwd="serverless", SQL_PORT=str(platform.sql_port))))
        print(f"\nFirst query over HTTP after a suspend, with its TLS handshake: {statistics.median(wakes):.0f} ms (median of {len(wakes)})")
        tcp, web = idle_kib(platform, string, options.idle)
        print(f"\nA session at rest: {tcp:.1f} KiB over TCP, {web:.1f} KiB in a WebSocket ({options.idle} of each)")


if __name__ == "__main__":
    main()
