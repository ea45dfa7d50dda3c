"""Knex, Drizzle Kit and Prisma Migrate, by their command lines. The apps are in tests/node/migrations."""

from drivers.crowd import in_threads
from fixtures.node import node
from migrations.conftest import public_tables

MODULES = "../../node_modules"
# Prisma's own engines cannot be had from the npm registry; it asks for none that it is told the place of.
PRISMA = {"PRISMA_QUERY_ENGINE_LIBRARY": "/bin/true", "PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true",
          "PRISMA_HIDE_UPDATE_MESSAGE": "1", "CHECKPOINT_DISABLE": "1"}


def knex(platform, string, *args, **options):
    return node(platform, string, f"{MODULES}/knex/bin/cli.js", *args, "--esm", cwd="migrations/knex", **options)


def drizzle(platform, string, *args, **options):
    return node(platform, string, f"{MODULES}/drizzle-kit/bin.cjs", *args, cwd="migrations/drizzle", **options)


def prisma(platform, string, *args, **options):
    return node(platform, string, f"{MODULES}/prisma/build/index.js", *args, cwd="migrations/prisma", **PRISMA, **options)


def valid(project, index):
    return project.query("select indisvalid from pg_index where indexrelid = %s::regclass", index) == [(True,)]


def test_knex_latest_and_rollback(platform, project, crowded, neighbours):
    assert "Batch 1 run: 3 migrations" in knex(platform, crowded, "migrate:latest")
    assert project.query("select count(*), count(distinct title) from book") == [(200, 200)]
    assert valid(project, "book_author")
    assert "Already up to date" in knex(platform, crowded, "migrate:latest")
    assert "Batch 1 rolled back: 3 migrations" in knex(platform, crowded, "migrate:rollback")
    assert public_tables(project) == ["knex_migrations", "knex_migrations_lock"]
    for _ in range(3):
        assert "ran the following migrations" in knex(platform, crowded, "migrate:up")
    assert "Already rolled back" not in knex(platform, crowded, "migrate:down")
    assert project.query("select count(*) from knex_migrations") == [(2,)]


def test_knex_locks_the_second_migrator_out(platform, project, crowded, neighbours):
    """Knex does not wait for its lock table: the second fails with an error that says so, or finds nothing to do."""
    knex(platform, crowded, "migrate:up")
    said = in_threads(lambda _: knex(platform, crowded, "migrate:latest", check=False), clients=3)
    assert sum("run: 2 migrations" in text for text in said) == 1, said
    assert all("run: 2 migrations" in text or "already locked" in text or "Already up to date" in text for text in said), said
    assert project.query("select count(*), count(distinct name) from knex_migrations") == [(3, 3)]
    assert project.query("select is_locked from knex_migrations_lock") == [(0,)]


def test_drizzle_migrate(platform, project, crowded, neighbours):
    assert "applied successfully" in drizzle(platform, crowded, "migrate")
    assert public_tables(project) == ["owner", "pet"]
    assert project.query("select count(*) from drizzle.__drizzle_migrations") == [(2,)]
    assert valid(project, "owner_email") and valid(project, "pet_owner")
    project.query("insert into owner (name, email) values ('a', 'a@example.com'); insert into pet (owner_id) values (1)")
    drizzle(platform, crowded, "migrate")
    assert project.query("select count(*) from drizzle.__drizzle_migrations") == [(2,)]
    assert project.query("select kind::text, born is not null from pet") == [("cat", True)]


def test_drizzle_push(platform, project, crowded, neighbours):
    """Compares the schema with what the catalogs say, and makes up the difference."""
    assert "Changes applied" in drizzle(platform, crowded, "push", "--force")
    assert public_tables(project) == ["owner", "pet"]
    project.query("insert into owner (name, email) values ('kept', 'k@example.com')")
    project.query("drop index pet_owner; alter table pet drop column born")
    assert "Changes applied" in drizzle(platform, crowded, "push", "--force")
    assert valid(project, "pet_owner")
    assert project.query("select count(*) from information_schema.columns where column_name = 'born'") == [(1,)]
    assert project.query("select name from owner") == [("kept",)]


def test_prisma_migrate_deploy(platform, project, crowded, neighbours):
    assert "2 migrations found" in prisma(platform, crowded, "migrate", "deploy")
    assert project.query('select count(*), sum(views) from "Post"') == [(100, 10100)]
    assert project.query("select count(*) from _prisma_migrations where finished_at is not null") == [(2,)]
    assert "up to date" in prisma(platform, crowded, "migrate", "status")


def test_prisma_migrates_once_when_asked_twice(platform, project, crowded, neighbours):
    """Prisma takes an advisory lock and waits ten seconds for it."""
    in_threads(lambda _: prisma(platform, crowded, "migrate", "deploy"), clients=2)
    assert project.query("select count(*) from _prisma_migrations") == [(2,)]
    assert project.query('select count(*) from "Post"') == [(100,)]
    assert project.query("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
