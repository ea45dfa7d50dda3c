"""Whatever Postgres does with its files, under the shim it ends as on whole files."""

import contextlib
import signal

import psycopg2
import pytest

from shim.shim_harness import (PG_BIN, TESTBED, Compute, Folder, PageService, Postgres, fingerprint, pg_amcheck,
                               plain_copy, run)


@pytest.fixture(scope="module")
def plain_fingerprint(source):
    with Folder() as folder, plain_copy(source, folder) as postgres:
        yield fingerprint(postgres)


def emptied(prints):
    """A fresh boot empties unlogged tables."""
    return {key: ("r", 0, None) if key[1] == "unlogged" else value for key, value in prints.items()}


@pytest.mark.parametrize("hot", [False, True])
def test_a_lazy_data_directory_reads_like_a_whole_one(source, folder, plain_fingerprint, hot):
    with PageService(source, folder / "pages.sock"), Compute(folder, source, hot=hot) as compute:
        assert fingerprint(compute) == emptied(plain_fingerprint)
        answer = pg_amcheck(compute)
        assert answer.returncode == 0, answer.stdout
        compute.sql("insert into unlogged (t) values ('new')")
        assert compute.sql("select t from unlogged") == [("new",)]


CHANGES = """
vacuum full wide
reindex index concurrently wide_pkey
cluster gaps using gaps_id_idx
delete from gaps where id > 100
vacuum gaps
insert into gaps select i, 'again' from generate_series(200000, 260000) i
truncate doomed
insert into doomed values (1, 'after truncate')
create table local as select * from spaced
alter table local set unlogged
update local set t = t || 'x' where id % 3 = 0
alter table local set logged
alter table unlogged set logged
insert into unlogged (t) select 'logged now' from generate_series(1, 10)
alter table wide set unlogged
update wide set t = 'small' where id % 2 = 0
alter table wide set logged
alter table spaced set tablespace pg_default
create index concurrently on pgbench_accounts (abalance)
update pgbench_accounts set abalance = aid % 1000 where aid % 50 = 0
vacuum (freeze, index_cleanup on) pgbench_accounts
drop table pgbench_history
create database copied_files template template0 strategy file_copy
create database copied_log template template0 strategy wal_log
drop database other
alter database third set tablespace pg_default
select nextval('counter')
checkpoint
""".strip().split("\n")


def apply_changes(postgres):
    connection = postgres.connect()
    cursor = connection.cursor()
    for statement in CHANGES:
        cursor.execute(statement)
    # A database whose files nobody has read yet, by both strategies.
    for strategy in ("file_copy", "wal_log"):
        cursor.execute(f"create database again_{strategy} template third strategy {strategy}")
    connection.close()


@pytest.fixture(scope="module")
def changed_fingerprint(source):
    with Folder() as folder, plain_copy(source, folder) as postgres:
        postgres.sql("truncate unlogged")  # As a fresh boot does.
        apply_changes(postgres)
        yield fingerprint(postgres)


@pytest.mark.parametrize("buffers", ["1MB", "64MB"])
def test_changes_end_as_on_whole_files(source, folder, changed_fingerprint, buffers):
    with PageService(source, folder / "pages.sock", 100), \
            Compute(folder, source, shared_buffers=buffers) as compute:
        apply_changes(compute)
        assert fingerprint(compute) == changed_fingerprint
        answer = pg_amcheck(compute)
        assert answer.returncode == 0, answer.stdout
        assert compute.stop() == 0
        assert "PANIC" not in compute.log.read_text()


def test_a_base_backup_is_a_whole_cluster(source, folder, second_folder, plain_fingerprint):
    with PageService(source, folder / "pages.sock"), Compute(folder, source) as compute:
        run(PG_BIN / "pg_basebackup", "-h", folder, "-U", "postgres", "-D", second_folder / "data",
            "-X", "stream", "-c", "fast", "--no-sync")
    with Postgres(second_folder / "data", second_folder / "log", allow_in_place_tablespaces="on") as restored:
        assert fingerprint(restored) == emptied(plain_fingerprint)
        answer = pg_amcheck(restored)
        assert answer.returncode == 0, answer.stdout


def test_a_kept_data_directory_goes_on_at_a_later_lsn(source, folder, plain_fingerprint):
    compute = Compute(folder, source)
    with PageService(source, folder / "pages.sock"):
        with compute:
            compute.sql("update pgbench_tellers set tbalance = 5")
            compute.sql("select count(*) from gaps where id < 3000")
        run(TESTBED, "rebase", compute.manifest, compute.socket, 0x99999, 20000)
        with compute:
            assert compute.sql("select sum(tbalance) from pgbench_tellers") == [(250,)]
            prints = fingerprint(compute)
            changed = {key for key in prints if prints[key] != emptied(plain_fingerprint)[key]}
            assert changed == {("postgres", "pgbench_tellers")}
            assert compute.status()["read_lsn"] == 0x99999


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_an_outage_is_a_clean_error_and_ends(source, folder, how):
    with PageService(source, folder / "pages.sock") as service, \
            Compute(folder, source, deadline_ms=700) as compute:
        connection = compute.connect()
        cursor = connection.cursor()
        cursor.execute("select count(*) from pgbench_branches")
        if how == "killed":
            service.stop()
        else:
            service.process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(psycopg2.errors.IoError) as failure:
                cursor.execute("select count(*) from gaps")
            assert failure.value.pgcode == "58030"
        if how == "hung":
            service.process.send_signal(signal.SIGCONT)
        with PageService(source, folder / "pages.sock") if how == "killed" else contextlib.nullcontext():
            cursor.execute("select count(*) from gaps")  # The same backend, nothing lost.
            assert cursor.fetchone() == (50000,)
        connection.close()
        log = compute.log.read_text()
        assert log.count("halogen shim: cannot get block") == 1  # Once per outage.
        assert log.count("halogen shim: the page service answers again") == 1


def test_a_cancel_ends_a_read_that_waits_for_the_page_service(source, folder):
    with PageService(source, folder / "pages.sock") as service, \
            Compute(folder, source, deadline_ms=60000) as compute:
        connection = compute.connect()
        cursor = connection.cursor()
        cursor.execute("select count(*) from pgbench_branches")
        cursor.execute("set statement_timeout = 500")
        service.stop()
        with pytest.raises(psycopg2.Error) as failure:
            cursor.execute("select count(*) from gaps")
        assert failure.value.pgcode in ("58030", "57014")
        connection.close()


def test_a_damaged_page_fails_only_those_who_need_it(source, folder, second_folder):
    with plain_copy(source, second_folder) as postgres:
        node, = postgres.sql("select pg_relation_filenode('gaps')")[0]
    with PageService(source, folder / "pages.sock", 0, f"{node}:100"), \
            Compute(folder, source) as compute:
        query = "select count(*) from gaps where ctid < '(100,0)'"
        assert compute.sql(query)[0][0] > 1000  # Read-ahead comes over the damaged block.
        with pytest.raises(psycopg2.errors.IoError):
            compute.sql("select count(*) from gaps")
        assert "made up by the test" in compute.log.read_text()
