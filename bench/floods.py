"""A good client's logins while an address begins connections and abandons them: TLS handshakes and SCRAM starts.

Prints p50 and p99 of a login idle and in the flood, and how long a wrong password takes for an endpoint that exists and for one
that does not. `--flood` is how many connections are abandoned (10,000).
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

import psycopg2  # noqa: E402

from fixtures.platform import Platform  # noqa: E402
from isolation.test_floods import abandon  # noqa: E402

LOGINS = 200


def percentiles(times):
    ordered = sorted(times)
    return f"p50 {1000 * statistics.median(ordered):.1f} ms, p99 {1000 * ordered[int(len(ordered) * 0.99)]:.1f} ms"


def timed(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def log_in(string):
    psycopg2.connect(string).close()


def fail(string):
    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(string)


def flood(host, port, count):
    """In a process of its own, so that it takes nothing from the good client's interpreter."""
    target = SimpleNamespace(host=host, pg_port=port)
    let_in = sum(abandon(target, "127.0.9.1", f"nobody{number}") for number in range(count))
    print(f"  {count} connections abandoned, {let_in} of them let in")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flood", type=int, default=10_000)
    parser.add_argument("--attack", nargs=2, metavar=("HOST", "PORT"))
    options = parser.parse_args()
    if options.attack:
        return flood(options.attack[0], int(options.attack[1]), options.flood)
    with Platform.create("floods") as platform:
        string = platform.create_project("good").connection_string()
        log_in(string)
        print("idle:    ", percentiles([timed(lambda: log_in(string)) for _ in range(LOGINS)]))
        host = urlsplit(string).hostname
        attacker = subprocess.Popen([sys.executable, __file__, "--flood", str(options.flood), "--attack", host, str(platform.pg_port)])
        times = []
        while attacker.poll() is None:
            times.append(timed(lambda: log_in(string)))
        print("in flood:", percentiles(times))
        for name, there in (("exists", string), ("does not", string.replace("@ep-", "@ep-no-"))):
            wrong = there.replace("neondb_owner:", "neondb_owner:wrong")
            print(f"wrong password, endpoint {name}:", percentiles([timed(lambda: fail(wrong)) for _ in range(30)]))


if __name__ == "__main__":
    main()
