"""Fixtures of the shim's tests: one source cluster for all, and a folder for each."""

import pytest

from shim.shim_harness import Folder, build_source

SOURCE_SQL = [
    "create extension amcheck",
    "create tablespace inplace location ''",
    "create unlogged table unlogged (id int, t text)",
    "create index on unlogged (t)",
    "insert into unlogged (t) select repeat('u', 100) from generate_series(1, 5000)",
    "create table wide (id int primary key, t text, a int[]) with (fillfactor = 70)",
    "insert into wide select i, (select string_agg(md5(i::text || j), '') from generate_series(1, 100) j), "
    "array[i % 17, i % 23] from generate_series(1, 3000) i",
    "create index on wide using gin (a)",
    "create index on wide using hash (id)",
    "create index on wide using brin (id)",
    "create table spaced (id int primary key, t text) tablespace inplace",
    "insert into spaced select i, md5(i::text) from generate_series(1, 20000) i",
    "create table gaps as select i as id, md5(i::text) as t from generate_series(1, 50000) i",
    "create index on gaps (id)",
    "create table doomed as select i as id, repeat('d', 500) as t from generate_series(1, 5000) i",
    "create sequence counter",
    "select nextval('counter') from generate_series(1, 77)",
    "create database other",
    "create database third tablespace inplace",
    "vacuum analyze",
]


@pytest.fixture
def folder():
    with Folder() as path:
        yield path


@pytest.fixture
def second_folder():
    with Folder() as path:
        yield path


@pytest.fixture(scope="session")
def source():
    with Folder() as path:
        yield build_source(path, SOURCE_SQL, pgbench_scale=5)
