"""Alembic, by its command line."""

from drivers.crowd import in_threads
from migrations.conftest import public_tables, run_python

ROWS = "select count(*), sum(cents), md5(string_agg(id || ':' || customer_id || ':' || cents, ',' order by id)) from purchase"


def alembic(string, *args, **options):
    url = string.replace("postgresql://", "postgresql+psycopg2://")
    return run_python(url, "alembic_app", "-m", "alembic", *args, **options)


def autogenerate_finds(string):
    """What `alembic revision --autogenerate` would write, asked by its own library."""
    code = ("import os, sqlalchemy as sa\n"
            "from alembic.autogenerate import compare_metadata\n"
            "from alembic.runtime.migration import MigrationContext\n"
            "from models import Base\n"
            "with sa.create_engine(os.environ['DATABASE_URL']).connect() as c:\n"
            "    print(compare_metadata(MigrationContext.configure(c, opts={'compare_type': True}), Base.metadata))\n")
    return run_python(string.replace("postgresql://", "postgresql+psycopg2://"), "alembic_app", "-c", code).strip()


def test_up_down_and_up_again(project, crowded, neighbours):
    alembic(crowded, "upgrade", "head")
    before = project.query(ROWS)
    assert before[0][:2] == (100, 505000)
    assert project.query("select status, count(*) from customer group by 1 order by 1") == [("new", 90), ("gone", 10)]
    assert project.query("select indisvalid from pg_index where indexrelid = 'purchase_customer'::regclass") == [(True,)]
    assert "0003 (head)" in alembic(crowded, "current")
    assert autogenerate_finds(crowded) == "[]"
    alembic(crowded, "downgrade", "-2")
    assert project.query("select count(*) from customer where name like 'customer %%'") == [(100,)]
    assert project.query(ROWS) == before
    alembic(crowded, "downgrade", "base")
    assert public_tables(project) == ["alembic_version"]
    alembic(crowded, "upgrade", "head")
    assert project.query(ROWS) == before


def test_a_migration_that_fails_leaves_nothing(project, crowded):
    alembic(crowded, "upgrade", "head")
    before = project.query(ROWS)
    said = alembic(crowded, "-c", "failing.ini", "upgrade", "head", check=False)
    assert "division by zero" in said
    assert project.query("select version_num from alembic_version") == [("0003",)]
    assert project.query(ROWS) == before
    assert project.query("select count(*) from information_schema.columns where column_name = 'doomed'") == [(0,)]
    # The session that held the lock has left, and with it the lock.
    assert project.query("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]


def test_two_deployments_at_once(project, crowded, neighbours):
    """Both run the same migrations; the lock lets one after the other, and the second finds nothing to do."""
    said = in_threads(lambda _: alembic(crowded, "upgrade", "head"), clients=2)
    assert sorted(text.count("Running upgrade") for text in said) == [0, 3], said
    assert project.query(ROWS)[0][:2] == (100, 505000)
