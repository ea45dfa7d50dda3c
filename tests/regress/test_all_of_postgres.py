"""What databases are full of, as a fresh compute, a branch and a branch of the past read it out of storage.

PostgreSQL's own suite (test_replay.py) makes most of it, too, but ends in one state, and never waits for a branch.
"""

import contextlib
import shutil

import psycopg2

ROWS = 70_000  # Each locked by two: multixacts past the end of a segment of 65,536.
XIDS = 1_100_000  # Past the end of a segment of pg_xact.

TABLES = """
create table kinds (i int primary key, h text, t tsvector, p point, r int4range, s text, b int);
insert into kinds select i, md5(i::text), to_tsvector('simple', 'w' || i % 100), point(i, i), int4range(i, i + 5), 'k' || i, i
  from generate_series(1, 5000) i;
create index on kinds using hash (h);
create index on kinds using gin (t);
create index on kinds using gist (p);
create index on kinds using gist (r);
create index on kinds using spgist (s);
create index on kinds using brin (b);
create table locked (i int primary key);
create table counted (i int);
create table wide (i int, x text);
insert into wide select i, string_agg(md5((i * j)::text), '') from generate_series(1, 50) i, generate_series(1, 500) j group by i;
"""

# Each with what only that index can answer quickly; sequential scans are off.
READS = [
    "select count(*), sum(i) from kinds where h = md5('17')",
    "select count(*), sum(i) from kinds where t @@ 'w42'",
    "select count(*), sum(i) from kinds where p <@ box '((10, 10), (20, 20))'",
    "select count(*), sum(i) from kinds where r @> 100",
    "select count(*), sum(i) from kinds where s ^@ 'k49'",
    "select count(*), sum(i) from kinds where b between 200 and 300",
    "select count(*), max(i) from locked",
    "select count(*), sum(i) from counted",
    "select md5(string_agg(x, '' order by i)) from wide",
    "select loid, md5(string_agg(data, '' order by pageno)) from pg_largeobject group by 1 order by 1",
    "select count(distinct pg_xact_commit_timestamp(xmin)) from kinds",
    "select gid from pg_prepared_xacts order by 1",
]

# Of Debian's packages, where they are installed: what is made, and a read that its index answers.
PACKAGED = {
    "vector": ("create table items as select i id, array_fill(i::real, array[64])::vector e from generate_series(1, 500) i; "
               "create index on items using hnsw (e vector_l2_ops)",
               "select count(*), md5(string_agg(e::text, '' order by id)) from items"),
    "postgis": ("create table places as select i id, st_buffer(st_makepoint(i, i), 10) g from generate_series(1, 500) i; "
                "create index on places using gist (g)",
                "select count(*), md5(string_agg(st_astext(g), '' order by id)) from places where g && st_makeenvelope(0, 0, 99, 99)"),
}


def state(project, reads, branch=None):
    project.wake(branch)
    with contextlib.closing(project.superuser("neondb", branch=branch)) as connection, connection.cursor() as cursor:
        cursor.execute("set enable_seqscan = off")
        result = []
        for sql in reads:
            cursor.execute(sql)
            result.append(cursor.fetchall())
        return result


def lock_all(project):
    """By two transactions at a time."""
    with contextlib.closing(project.connect()) as one, contextlib.closing(project.connect()) as two:
        for connection in (one, two):
            connection.cursor().execute("begin; select count(*) from (select 1 from locked for key share) l")
        for connection in (one, two):
            connection.cursor().execute("commit")


def of_another_database(project, name, branch=None):
    project.wake(branch)
    with contextlib.closing(psycopg2.connect(project.superuser_string(name, branch))) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), sum(i) from rows")
        return cursor.fetchall()


def test_all_of_it_is_read_out_of_storage_as_it_was_written(project, platform):
    settings = {"pg_settings": {"track_commit_timestamp": "on"}}
    platform.api("PATCH", f"/api/v2/projects/{project.id}", {"project": {"default_endpoint_settings": settings}})  # Of its branches' endpoints.
    platform.patch_endpoint(project, settings=settings)
    platform.set_suspend_timeout(project, -1)
    project.suspend()
    project.query(TABLES)
    project.query(f"insert into locked select generate_series(1, {ROWS})")
    reads = list(READS)
    for (extension,) in project.query("select name from pg_available_extensions where name = any(%s)", list(PACKAGED)):
        project.query(f"create extension {extension}")
        project.query(PACKAGED[extension][0])
        reads.append(PACKAGED[extension][1])
    project.query("select lo_from_bytea(0, decode(repeat('ab', 30000), 'hex')), lo_from_bytea(0, 'x')")
    lock_all(project)
    project.query(f"do $$ begin for i in 1..{XIDS} loop begin if i % 1000 = 0 then insert into counted values (i); "
                  "else perform pg_current_xact_id(); end if; exception when others then raise; end; commit; end loop; end $$")
    assert int(project.query("select pg_current_xact_id()")[0][0]) > 1 << 20
    for strategy in ("wal_log", "file_copy"):
        project.query(f"create database of_{strategy} strategy {strategy}")
        with contextlib.closing(psycopg2.connect(project.superuser_string(f"of_{strategy}"))) as other, other.cursor() as cursor:
            cursor.execute("create table rows as select generate_series(1, 1000) i")
            other.commit()
    with contextlib.closing(project.connect()) as preparing, preparing.cursor() as cursor:
        cursor.execute("begin; delete from wide where i > 25; delete from kinds where i > 4000; prepare transaction 'half'")
    project.query("insert into counted values (0)")  # A moment is the end of the last commit before it.
    before = state(project, reads)
    lsn = project.query("select pg_current_wal_flush_lsn()")[0][0]

    project.query("commit prepared 'half'")
    for statement in ("vacuum full wide", "cluster kinds using kinds_pkey", "reindex table concurrently kinds", "vacuum (freeze) locked"):
        project.query(statement)
    after = state(project, reads)
    assert after != before

    platform.cli("branches", "create", "--project", project.id, "--name", "now")
    platform.cli("branches", "create", "--project", project.id, "--name", "then", "--at", lsn)
    assert state(project, reads, "now") == after
    assert state(project, reads, "then") == before
    project.query("rollback prepared 'half'", branch="then")  # Decided otherwise there.
    assert project.query("select count(*) from wide", branch="then") == [(50,)]
    project.suspend()
    shutil.rmtree(project.compute()["data_directory"])
    assert state(project, reads) == after
    for name in ("of_wal_log", "of_file_copy"):
        for branch in (None, "now", "then"):
            assert of_another_database(project, name, branch) == [(1000, 500_500)]
