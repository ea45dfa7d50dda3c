"""More clients than server connections, each with its driver's own way of preparing, at its default settings."""

import asyncio
import datetime
import decimal

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from drivers.crowd import ACCOUNTS, CLIENTS, ROUNDS, SETUP, check, in_threads, transfer


@pytest.fixture(scope="module")
def project(session_platform):
    project = session_platform.create_project()
    yield project
    project.delete()


@pytest.fixture
def crowd(project, crowded):
    project.query("drop table if exists account, entry; drop type if exists mood, pair cascade")
    project.query(SETUP)
    return crowded


def test_psycopg2_transactions_and_settings(project, crowd):
    def work(client):
        connection = psycopg2.connect(crowd, application_name=f"client {client}")
        with connection, connection.cursor() as cursor:
            cursor.execute("set statement_timeout = %s", (100_000 + client,))
        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            with connection, connection.cursor() as cursor:
                cursor.execute("set local lock_timeout = %s", (50_000 + client,))
                cursor.execute("update account set balance = balance - %s where id = %s", (amount, a))
                cursor.execute("update account set balance = balance + %s where id = %s", (amount, b))
                cursor.execute("insert into entry values (%s, %s, %s) returning client", (client, round, amount))
                assert cursor.fetchall() == [(client,)]
                cursor.execute("select current_setting('lock_timeout')")
                assert cursor.fetchone() == (shown(50_000 + client),)
            with connection, connection.cursor() as cursor:
                cursor.execute("select current_setting('statement_timeout'), current_setting('application_name'), "
                               "current_setting('lock_timeout')")
                assert cursor.fetchone() == (shown(100_000 + client), f"client {client}", "0")
        connection.close()

    in_threads(work)
    check(project)


def shown(milliseconds):
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def test_psycopg2_rollbacks_undo_only_their_own(project, crowd):
    def work(client):
        connection = psycopg2.connect(crowd)
        for round in range(ROUNDS):
            with pytest.raises(psycopg2.errors.CheckViolation if round % 2 else psycopg2.errors.DivisionByZero):
                with connection, connection.cursor() as cursor:
                    cursor.execute("insert into entry values (%s, %s, 1)", (client, round))
                    cursor.execute("alter table entry add check (amount > 1)" if round % 2 and client == 0 else
                                   "do $$ begin raise check_violation; end $$" if round % 2 else "select 1/0")
            with connection, connection.cursor() as cursor:
                cursor.execute("select count(*) from entry where client = %s", (client,))
                assert cursor.fetchone() == (0,)
        connection.close()

    in_threads(work)
    assert project.query("select count(*) from entry") == [(0,)]


def test_psycopg3_prepares_by_itself(project, crowd):
    """After five executions psycopg prepares under its own names, the same in every client: _pg3_0, _pg3_1, ..."""
    def work(client):
        with psycopg.connect(crowd, autocommit=True) as connection:
            assert connection.prepare_threshold == 5
            for round in range(ROUNDS):
                a, b, amount = transfer(client, round)
                with connection.transaction():
                    connection.execute("update account set balance = balance - %s where id = %s", (amount, a))
                    connection.execute("update account set balance = balance + %s where id = %s", (amount, b))
                    connection.execute("insert into entry values (%s, %s, %s)", (client, round, amount))
                # A text of its own, so that one name means another statement in each client.
                assert connection.execute(f"select %s::int + {client}", (round,)).fetchone() == (client + round,)
                assert connection.execute(f"select %s::text || 'client {client}'", ("I am ",)).fetchone() == \
                    (f"I am client {client}",)
            assert connection.execute("select count(*) from pg_prepared_statements").fetchone()[0] >= 0

    in_threads(work)
    check(project)


def test_psycopg3_pipelines(project, crowd):
    def work(client):
        with psycopg.connect(crowd, autocommit=True) as connection:
            for round in range(ROUNDS):
                a, b, amount = transfer(client, round)
                with connection.pipeline(), connection.transaction():
                    connection.execute("update account set balance = balance - %s where id = %s", (amount, a))
                    connection.execute("update account set balance = balance + %s where id = %s", (amount, b))
                    mine = connection.execute("insert into entry values (%s, %s, %s) returning client, round",
                                              (client, round, amount))
                    number = connection.execute("select %s::int * 2", (client,))
                assert mine.fetchall() == [(client, round)] and number.fetchone() == (client * 2,)
            with pytest.raises(psycopg.errors.DivisionByZero):
                with connection.pipeline() as pipeline:
                    connection.execute("select 1")
                    connection.execute("select 1/0")
                    connection.execute("insert into entry values (-1, %s, 0)", (client,))
                    pipeline.sync()
            assert connection.execute("select %s::int", (client,)).fetchone() == (client,)

    in_threads(work)
    assert project.query("select count(*) from entry where client = -1") == [(0,)]
    check(project)


def test_psycopg3_cursors_on_the_server_and_copy(project, crowd):
    def work(client):
        with psycopg.connect(crowd) as connection:
            with connection.cursor().copy("copy entry from stdin") as copy:
                for round in range(500):
                    copy.write_row((client, round, round))
            connection.commit()
            with connection.cursor(name="c") as cursor:
                cursor.itersize = 64
                cursor.execute("select round from entry where client = %s order by round", (client,))
                assert [row[0] for row in cursor] == list(range(500))
            with connection.cursor(name="c", scrollable=True) as cursor:
                cursor.execute("select round from entry where client = %s order by round", (client,))
                cursor.scroll(400)
                assert cursor.fetchmany(3) == [(400,), (401,), (402,)]
                cursor.scroll(-3)
                assert cursor.fetchone() == (400,)
            connection.commit()
            with connection.cursor().copy("copy (select round from entry where client = %s order by 1) to stdout",
                                          (client,)) as copy:
                assert b"".join(copy) == b"".join(b"%d\n" % i for i in range(500))

    in_threads(work, clients=20)


@pytest.mark.parametrize("options", [{}, {"statement_cache_size": 0}], ids=["default", "statement_cache_size=0"])
def test_asyncpg(project, crowd, options):
    async def work(client):
        connection = await asyncpg.connect(crowd, timeout=60, **options)
        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            async with connection.transaction():
                await connection.execute("update account set balance = balance - $1 where id = $2", amount, a)
                await connection.execute("update account set balance = balance + $1 where id = $2", amount, b)
                assert await connection.fetchval("insert into entry values ($1, $2, $3) returning client",
                                                 client, round, amount) == client
            row = await connection.fetchrow(f"select $1::text as a, $2::timestamptz as b, $3::numeric as c, {client} as d",
                                            f"{client}/{round}", MOMENT, decimal.Decimal("12.50"))
            assert tuple(row) == (f"{client}/{round}", MOMENT, decimal.Decimal("12.50"), client)
        statement = await connection.prepare(f"select $1::int + {client}")
        for round in range(ROUNDS):
            assert await statement.fetchval(round) == round + client
            await asyncio.sleep(0)
        async with connection.transaction():
            got = [row["id"] async for row in connection.cursor("select id from account order by id", prefetch=7)]
        assert got == list(range(ACCOUNTS))
        await connection.executemany("insert into entry values ($1, $2, $3)", [(1000 + client, i, i) for i in range(50)])
        assert await connection.fetchval("select sum(amount) from entry where client = $1", 1000 + client) == 1225
        await connection.close()

    async def all_of_them():
        await asyncio.gather(*(work(client) for client in range(CLIENTS)))

    asyncio.run(all_of_them())
    project.query("delete from entry where client >= 1000")
    check(project)


MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)


def test_asyncpg_pool_with_own_types(project, crowd):
    """Enums and composites make asyncpg look up types with statements of its own; its pool resets each session."""
    project.query("create type mood as enum ('sad', 'glad'); create type pair as (a int, m mood)")

    async def work():
        pool = await asyncpg.create_pool(crowd, min_size=10, max_size=20, timeout=60)

        async def one(i):
            async with pool.acquire() as connection:
                await connection.execute(f"set work_mem = '{1024 + i}kB'")
                assert await connection.fetchval("select $1::mood", "glad") == "glad"
                assert tuple(await connection.fetchval("select ($1::int, 'sad')::pair", i)) == (i, "sad")
                assert await connection.fetchval("select array[$1::int, 2]", i) == [i, 2]
                assert await connection.fetchval("show work_mem") == ("%dMB" % ((1024 + i) // 1024) if i % 1024 == 0
                                                                     else f"{1024 + i}kB")
            async with pool.acquire() as connection:
                assert not (await connection.fetchval("show work_mem")).endswith("kB")

        await asyncio.gather(*(one(i) for i in range(200)))
        await pool.close()

    asyncio.run(work())


def test_sqlalchemy_with_psycopg2(project, crowd):
    engine = sa.create_engine(crowd.replace("postgresql://", "postgresql+psycopg2://"), pool_size=CLIENTS)

    def work(client):
        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            with engine.begin() as connection:
                connection.execute(sa.text("update account set balance = balance - :m where id = :i"), {"m": amount, "i": a})
                connection.execute(sa.text("update account set balance = balance + :m where id = :i"), {"m": amount, "i": b})
                connection.execute(sa.text("insert into entry values (:c, :r, :m)"), {"c": client, "r": round, "m": amount})

    in_threads(work)
    engine.dispose()
    check(project)


def test_sqlalchemy_with_asyncpg(project, crowd):
    url = crowd.replace("postgresql://", "postgresql+asyncpg://").replace("sslmode=require&channel_binding=require", "ssl=require")
    metadata = sa.MetaData()
    entry = sa.Table("entry", metadata, sa.Column("client", sa.Integer, primary_key=True),
                     sa.Column("round", sa.Integer, primary_key=True), sa.Column("amount", sa.Integer))
    account = sa.Table("account", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("balance", sa.BigInteger))

    async def work(engine, client):
        for round in range(ROUNDS):
            a, b, amount = transfer(client, round)
            async with engine.begin() as connection:
                for id, change in ((a, -amount), (b, amount)):
                    await connection.execute(account.update().where(account.c.id == id)
                                             .values(balance=account.c.balance + change))
                await connection.execute(entry.insert(), {"client": client, "round": round, "amount": amount})
            async with engine.connect() as connection:
                rows = await connection.stream(sa.select(entry.c.round).where(entry.c.client == client)
                                               .order_by(entry.c.round))
                assert [row[0] async for row in rows] == list(range(round + 1))

    async def all_of_them():
        engine = create_async_engine(url, pool_size=CLIENTS)
        await asyncio.gather(*(work(engine, client) for client in range(CLIENTS)))
        await engine.dispose()

    asyncio.run(all_of_them())
    check(project)
