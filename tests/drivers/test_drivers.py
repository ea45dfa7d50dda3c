"""The drivers people have, over TLS, with the direct and the pooled string: connect, do real work, see real errors."""

import asyncio
import datetime
import decimal
import subprocess
import threading
import uuid

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy as sa

from fixtures.platform import PSQL


def run_psql(string, *args, **kwargs):
    return subprocess.run([PSQL, string, "-XAt", *args], text=True, capture_output=True, timeout=60,
                          **kwargs)


def test_psql_works_with_the_printed_string(string):
    done = run_psql(string, "-c", "create table t (i int)", "-c", "insert into t select generate_series(1, 1000)",
                    "-c", "select sum(i) from t")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "500500"


def test_the_connection_is_encrypted_and_the_certificate_verifies(string, platform):
    string = string.replace("sslmode=require", "sslmode=verify-full")
    string += f"&sslrootcert={platform.status()['ca_file']}"
    done = subprocess.run([PSQL, string, "-XAt", "-c", "\\conninfo", "-c", "select 41 + 1"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "TLSv1.3" in done.stdout and done.stdout.splitlines()[-1] == "42"


def test_psql_copies_in_and_out(string):
    rows = "".join(f"{i}\trow {i}\n" for i in range(100_000))
    assert run_psql(string, "-c", "create table c (i int primary key, t text)").returncode == 0
    done = run_psql(string, "-c", "copy c from stdin", input=rows)
    assert done.returncode == 0, done.stderr
    assert run_psql(string, "-c", "copy (select * from c order by i) to stdout").stdout == rows


def test_psycopg2_types_transactions_and_errors(string):
    connection = psycopg2.connect(string)
    with connection, connection.cursor() as cursor:
        cursor.execute("create table t (id serial primary key, n numeric, at timestamptz, j jsonb, b bytea, a int[])")
        row = (decimal.Decimal("12.345"), datetime.datetime.now(datetime.timezone.utc), psycopg2.extras.Json({"k": [1, "ü"]}),
               b"\x00\xff" * 5000, [1, 2, 3])
        cursor.execute("insert into t (n, at, j, b, a) values (%s, %s, %s, %s, %s) returning id", row)
        assert cursor.fetchone() == (1,)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        with connection, connection.cursor() as cursor:
            cursor.execute("insert into t (id) values (1)")
    with connection, connection.cursor() as cursor:
        cursor.execute("select n, at, j, b, a from t")
        n, at, j, b, a = cursor.fetchone()
        assert (n, at, j, bytes(b), a) == (row[0], row[1], {"k": [1, "ü"]}, row[3], row[4])
    connection.close()


def test_psycopg3_pipelines_prepares_and_copies(string):
    with psycopg.connect(string, autocommit=True) as connection:
        connection.execute("create table t (i int, u uuid)")
        with connection.pipeline():
            for i in range(200):
                connection.execute("insert into t values (%s, %s)", (i, uuid.uuid4()), prepare=True)
        with connection.cursor().copy("copy t from stdin") as copy:
            for i in range(200, 1000):
                copy.write_row((i, uuid.uuid4()))
        assert connection.execute("select count(*), sum(i) from t").fetchone() == (1000, 499500)


def test_asyncpg_with_its_default_settings(string):
    async def work():
        pool = await asyncpg.create_pool(string, min_size=2, max_size=4)
        await pool.execute("create table t (i bigint primary key, v text)")
        await pool.copy_records_to_table("t", records=[(i, str(i)) for i in range(1000)])

        async def one(i):
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("update t set v = v || '!' where i = $1", i)
                return await connection.fetchval("select v from t where i = $1", i)

        assert await asyncio.gather(*(one(i) for i in range(100))) == [f"{i}!" for i in range(100)]
        with pytest.raises(asyncpg.UniqueViolationError):
            await pool.execute("insert into t values (1, '')")
        await pool.close()

    asyncio.run(work())


def test_sqlalchemy_orm_and_reflection(string):
    engine = sa.create_engine(string.replace("postgresql://", "postgresql+psycopg2://"))
    metadata = sa.MetaData()
    users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(users.insert(), [{"name": f"user {i}"} for i in range(10)])
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(users)).scalar() == 10
    assert [c["name"] for c in sa.inspect(engine).get_columns("users")] == ["id", "name"]
    engine.dispose()


def test_cancel_reaches_the_running_query(string):
    connection = psycopg2.connect(string)
    connection.autocommit = True
    with connection.cursor() as cursor:
        threading.Timer(0.5, connection.cancel).start()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            cursor.execute("select pg_sleep(60)")
        cursor.execute("select 1")
        assert cursor.fetchone() == (1,)
    connection.close()
