"""Boot at many record boundaries: a branch is taken at whatever record the parent has just written, amid everything it does."""

import itertools
import json
import os
import random
import threading
import time

import psycopg2

BRANCHES = int(os.environ.get("HALOGEN_BOOTS", 8))

# The sum of all balances is always 0, and so is every index's view of it.
TABLES = """
create table account (id int primary key, balance bigint not null, note text);
create index on account (balance);
create index on account using gin (to_tsvector('simple', note));
insert into account select i, 0, 'note ' || i from generate_series(1, 2000) i;
create table journal (id bigserial primary key, at timestamptz default clock_timestamp(), moved int);
create sequence pulse;
"""


def transfer(cursor, chance, turn):
    a, b, amount = chance.randint(1, 1000), chance.randint(1001, 2000), chance.randint(1, 100)
    cursor.execute("""
        begin; savepoint s;
        update account set balance = balance - %(n)s, note = repeat('x ', %(n)s) where id = %(a)s;
        update account set balance = balance + %(n)s where id = %(b)s;
        insert into journal (moved) values (%(n)s);
        release s; select nextval('pulse'); commit""", {"n": amount, "a": a, "b": b})


def rolled_back(cursor, chance, turn):
    cursor.execute("begin; update account set balance = balance + 1 where id %% 50 = %s; rollback", (turn % 50,))


def schema(cursor, chance, turn):
    cursor.execute(f"create table t{turn} as select i, repeat('y', 100) y from generate_series(1, 300) i; "
                   f"create index on t{turn} (i); drop table if exists t{turn - 3}; truncate t{turn}")


def upkeep(cursor, chance, turn):
    cursor.execute(chance.choice(["vacuum account", "vacuum (freeze) journal", "analyze", "reindex table account"]))


def workload(string, seed, stop, failures):
    chance = random.Random(seed)
    try:
        connection = psycopg2.connect(string)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for turn in itertools.count(seed * 1_000_000):
                if stop.is_set():
                    return
                kind = chance.choices([transfer, rolled_back, schema, upkeep], [60, 5, 2, 1])[0]
                try:
                    kind(cursor, chance, turn)
                except (psycopg2.errors.DeadlockDetected, psycopg2.errors.UndefinedTable):
                    cursor.execute("rollback")
    except Exception as error:
        failures.append(error)


def check(project, branch):
    total, accounts = project.query("select sum(balance), count(*) from account", branch=branch)[0]
    assert (total, accounts) == (0, 2000)
    moved, by_index = project.query(
        "select (select count(*) from journal), (select count(*) from journal where id > 0)", branch=branch)[0]
    assert moved == by_index
    project.query("insert into journal (moved) values (0)", branch=branch)
    with project.superuser("neondb", branch=branch) as connection, connection.cursor() as cursor:
        cursor.execute("create extension if not exists amcheck")
        cursor.execute("select bt_index_check(i.indexrelid, true) from pg_index i join pg_class c on c.oid = i.indexrelid "
                       "join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relpersistence = 'p'")
        cursor.execute("select * from pg_class c, verify_heapam(c.oid) where c.relkind = 'r' and c.relpersistence = 'p'")
        assert cursor.fetchall() == []


def moved_on(project, before, deadline):
    """Where the parent's log is, once that is beyond `before`: all may wait for one that reindexes meanwhile."""
    while time.monotonic() < deadline:
        now = project.query("select pg_current_wal_flush_lsn()")[0][0]
        if position(now) > position(before):
            return now
        time.sleep(0.05)
    raise AssertionError(f"the workload stands still at {before}")


def position(lsn):
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def test_a_compute_boots_wherever_its_branch_was_taken(project, platform):
    for statement in filter(str.strip, TABLES.split(";")):
        project.query(statement)
    stop, failures = threading.Event(), []
    threads = [threading.Thread(target=workload, args=(project.connection_string(), seed, stop, failures)) for seed in range(1, 4)]
    for thread in threads:
        thread.start()
    last = "0/0"
    try:
        for number in range(BRANCHES):
            name = f"at-{number}"
            flushed = moved_on(project, last, time.monotonic() + 60)
            made = platform.cli("branches", "create", "--project", project.id, "--name", name, "--json")
            last = json.loads(made)["branch"]["parent_lsn"]
            assert position(last) >= position(flushed)
            check(project, name)
            platform.cli("branches", "delete", "--project", project.id, name)
            assert not failures, failures
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failures, failures
    check(project, None)
