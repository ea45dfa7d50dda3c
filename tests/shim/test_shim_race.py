"""The race that matters: a page that was fetched early must not overwrite what a backend wrote since."""

import subprocess
import threading

from shim.shim_harness import (BROKEN_SHIM, PG_BIN, SHIM, Compute, PageService, as_postgres, pg_amcheck)

TRANSFER = r"""
\set aid random(1, 500000)
\set delta random(-5000, 5000)
begin;
update pgbench_accounts set abalance = abalance + :delta where aid = :aid;
update pgbench_tellers set tbalance = tbalance + :delta where tid = 1 + :aid % 50;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (1 + :aid % 50, 1, :aid, :delta, now());
end;
"""
# Walks through the cold parts with read-ahead, just where the writers are.
SCAN = r"""
\set from random(1, 480000)
select sum(abalance) from pgbench_accounts where aid between :from and :from + 20000;
"""
# Dirties whole ranges that are being read ahead by the scans.
SWEEP = r"""
\set from random(1, 499000)
begin;
update pgbench_accounts set abalance = abalance + 1 where aid between :from and :from + 300;
insert into pgbench_history (tid, bid, aid, delta, mtime)
  select null, 0, aid, 1, now() from pgbench_accounts where aid between :from and :from + 300;
end;
"""


def stress(folder, source, shim, seconds, **options):
    """Returns what is wrong afterwards, and the shim's counters."""
    for name, script in (("transfer", TRANSFER), ("scan", SCAN), ("sweep", SWEEP)):
        (folder / name).write_text(script)
    with PageService(source, folder / "pages.sock", 3000), \
            Compute(folder, source, shim=shim, shared_buffers="2MB", synchronous_commit="off",
                    effective_io_concurrency=8, bgwriter_delay="10ms", **options) as compute:
        seq_scans = threading.Thread(target=lambda: scan_now_and_then(compute))
        seq_scans.start()
        bench = subprocess.run(
            [str(PG_BIN / "pgbench"), "-h", str(folder), "-U", "postgres", "-n", "-c", "8", "-j", "2",
             "-T", str(seconds), "-f", f"{folder}/transfer@4", "-f", f"{folder}/scan@2",
             "-f", f"{folder}/sweep@3", "postgres"],
            text=True, cwd="/tmp", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **as_postgres())
        seq_scans.join()
        wrong = find_wrong(compute, bench)
        print(bench.stdout, compute.status())
        return wrong, compute.status()


def scan_now_and_then(compute):
    connection = compute.connect()
    cursor = connection.cursor()
    for _ in range(3):
        try:
            cursor.execute("select sum(abalance) from pgbench_accounts")
        except Exception as error:  # Counted by find_wrong's own scan.
            print("scan:", error)
    connection.close()


def find_wrong(compute, bench):
    wrong = []
    if bench.returncode != 0:
        wrong.append(bench.stdout[-500:])
    try:
        compute.sql("set enable_indexscan = off; select count(*) from pgbench_accounts")
        if compute.sql("select count(*) from (select aid, sum(delta) d from pgbench_history group by aid) h "
                       "full join pgbench_accounts a using (aid) where abalance <> coalesce(d, 0)") != [(0,)]:
            wrong.append("balances do not match the history")
        if compute.sql("select sum(tbalance) from pgbench_tellers") != \
                compute.sql("select coalesce(sum(delta), 0) from pgbench_history where tid is not null"):
            wrong.append("tellers do not match the history")
    except Exception as error:
        wrong.append(str(error))
    answer = pg_amcheck(compute)
    if answer.returncode != 0:
        wrong.append(answer.stdout[-500:])
    return wrong


def test_read_ahead_never_overwrites_a_written_page(source, folder):
    wrong, status = stress(folder, source, SHIM, 12)
    assert not wrong
    assert status["conflicts"] > 20, "the race was not met"


def test_the_stress_finds_a_shim_without_the_presence_check(source, folder):
    wrong, _ = stress(folder, source, BROKEN_SHIM, 12)
    assert wrong
