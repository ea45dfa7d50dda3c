"""What the platform takes while nobody uses it: eight small projects, suspended.

Prints the private and proportional memory of each of its processes, and the sum. `--projects` is how many (8).
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

from fixtures.platform import Platform, wait_until  # noqa: E402

SETTLE = 75  # The spare postmaster is made after a second, redo processes end after a minute.


def processes_of(platform):
    """The platform, the warden of its rooms, which begins as a fork of it, and what they have started."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        children[int(text.rpartition(")")[2].split()[1])].append(int(text.split()[0]))
    found = [pid for pids in children.values() for pid in pids if str(platform.pg_port) in command_line(pid).split()]
    for process in found:
        found += [child for child in children[process] if child not in found]
    return found


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def memory(pid):
    """In MB: proportional, and what is this process's alone."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    megabytes = {name: int(value.split()[0]) / 1024 for name, value in fields.items()}
    return megabytes["Pss"], megabytes["Private_Clean"] + megabytes["Private_Dirty"]


def report(platform):
    total_pss = total_private = 0
    for pid in processes_of(platform):
        name = command_line(pid)[-70:]
        pss, private = memory(pid)
        total_pss += pss
        total_private += private
        print(f"  {pss:7.1f} MB proportional  {private:7.1f} MB private  {name}")
    print(f"  {total_pss:7.1f} MB proportional  {total_private:7.1f} MB private  in all")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=8)
    options = parser.parse_args()
    with Platform.create("idle") as platform:
        for number in range(options.projects):
            project = platform.create_project(f"idle{number}")
            project.query("create table t as select g, md5(g::text) from generate_series(1, 10000) g")
            project.suspend()
        wait_until(lambda: ", 0 of them awake" in str(platform.status()["components"]), seconds=60, what="rest")
        time.sleep(SETTLE)
        report(platform)


if __name__ == "__main__":
    main()
