"""What a boot does, and does not do."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from shim.shim_harness import PG_BIN, Compute, Folder, PageService, build_source, run


@pytest.fixture(scope="module")
def many_relations():
    """20,000 tables in one database."""
    sql = ["create procedure make() language plpgsql as $$ begin for i in 1..20000 loop "
           "execute format('create table t%s (i int)', i); if i % 2000 = 0 then commit; end if; "
           "end loop; end $$", "call make()", "insert into t777 values (777)", "create database droppable"]
    with Folder() as folder:
        yield build_source(folder, sql)


def source_size(folder):
    return sum(file.stat().st_size for file in folder.iterdir())


def test_twenty_thousand_relations_are_not_made_at_boot(many_relations, folder):
    with PageService(many_relations, folder / "pages.sock"):
        compute = Compute(folder, many_relations)
        started = time.monotonic()
        with compute:
            ready = time.monotonic() - started
            assert compute.sql("select * from t777") == [(777,)]
            first_row = time.monotonic() - started
            made = len(compute.files())
            status = compute.status()
            print(f"ready after {ready * 1000:.0f} ms, first row after {first_row * 1000:.0f} ms, "
                  f"{made} files made, {status}")
            # The server's own processes may make more at any moment.
            assert made <= status["files_made"] <= len(compute.files()) < 300
            # Nor by looking at them, or by their end.
            listed, names = compute.sql("select count(*), count(distinct f) from pg_ls_dir('base/5') f where f ~ '^[0-9]'")[0]
            assert listed == names > 20000
            size, mode = compute.sql("select pg_database_size('postgres'), (pg_stat_file('base/5/1259')).isdir")[0]
            assert size == source_size(many_relations / "base/5") and not mode
            dropped, = compute.sql("select oid from pg_database where datname = 'droppable'")[0]
            assert len(list((many_relations / f"base/{dropped}").iterdir())) > 200
            compute.sql("drop database droppable")
            assert not (compute.data / f"base/{dropped}").exists()
            # What has been made since is listed, and at its own size; what is gone is not.
            compute.sql("drop table t778")
            compute.sql("create table t778 as select g from generate_series(1, 1000) g")
            again, = compute.sql("select count(*) from pg_ls_dir('base/5') f where f ~ '^[0-9]'")[0]
            assert again >= listed
            assert len(compute.files()) < 350


def test_relation_cache_files_survive_a_boot_if_the_agent_says_so(source, folder):
    with PageService(source, folder / "pages.sock"):
        compute = Compute(folder, source)
        for keep in (False, True):
            with compute:
                compute.sql("select 1")
                run(PG_BIN / "psql", "-h", folder, "-U", "postgres", "-c", "select 1")
            cache = compute.data / "global/pg_internal.init"
            before = cache.stat()
            compute.keep_relcache_files(keep)
            compute.start(wait=True)
            kept = cache.exists() and cache.stat().st_mtime_ns == before.st_mtime_ns
            compute.stop()
            assert kept == keep


def test_a_second_postmaster_is_refused(source, folder):
    with PageService(source, folder / "pages.sock"), Compute(folder, source) as compute:
        (compute.data / "postmaster.pid").rename(compute.data / "hidden")
        again = subprocess.run([str(PG_BIN / "postgres"), "--version"], text=True, stderr=subprocess.PIPE,
                               env={**os.environ, **compute.environment})
        assert again.returncode == 1, again.stderr
        assert "is used by another postmaster or its children" in again.stderr
        (compute.data / "hidden").rename(compute.data / "postmaster.pid")


# A stand-in for the platform: starts postgres as its own child, then waits.
PLATFORM = """
import json, os, subprocess, sys, time
arguments = json.loads(sys.argv[1])
arguments['env']['HALOGEN_PDEATHSIG'] = str(os.getpid())
print(subprocess.Popen(**arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid, flush=True)
time.sleep(600)
"""


def runs(pid):
    try:
        return open(f"/proc/{pid}/stat").read().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_the_postmaster_dies_with_the_platform(source, folder):
    with PageService(source, folder / "pages.sock"):
        compute = Compute(folder, source)
        platform = subprocess.Popen([sys.executable, "-c", PLATFORM, json.dumps(compute.arguments())],
                                    stdout=subprocess.PIPE, text=True)
        pid = int(platform.stdout.readline())
        assert runs(pid)
        platform.send_signal(signal.SIGKILL)
        platform.wait()
        platform.stdout.close()
        deadline = time.monotonic() + 10
        while runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if runs(pid):
            os.kill(pid, signal.SIGKILL)
            pytest.fail("the postmaster outlived its platform")


def test_a_cold_sequential_scan_reads_ahead(source, folder):
    """About 8,200 pages: few requests, most of them for whole chunks."""
    with PageService(source, folder / "pages.sock"), Compute(folder, source) as compute:
        compute.sql("select count(*) from pg_class")
        before = compute.status()
        connection = compute.connect()
        cursor = connection.cursor()
        cursor.execute("set max_parallel_workers_per_gather = 0")
        started = time.monotonic()
        cursor.execute("select sum(abalance) from pgbench_accounts")
        took = time.monotonic() - started
        connection.close()
        after = compute.status()
        requests = after["requests"] - before["requests"]
        pages = after["pages_fetched"] - before["pages_fetched"]
        print(f"{pages} pages by {requests} requests, {pages * 8192 / took / 1e6:.0f} MB/s")
        assert pages > 8000 and requests < pages / 60


def test_random_reads_fetch_single_pages(source, folder):
    with PageService(source, folder / "pages.sock"), Compute(folder, source) as compute:
        query = "select abalance from pgbench_accounts where aid = {}"
        compute.sql(query.format(1))
        before = compute.status()
        for aid in range(7919, 480000, 7919):
            compute.sql(query.format(aid))
        after = compute.status()
        pages = after["pages_fetched"] - before["pages_fetched"]
        requests = after["requests"] - before["requests"]
        print(f"{pages} pages by {requests} requests for 60 rows")
        assert pages <= requests * 1.1
