"""One stock server with halogen.so for all tests of this folder, and a session that reports for each."""

import pytest

from session.server import Server


@pytest.fixture(scope="session")
def server():
    with Server() as server:
        setup = server.connect(**{"halogen.report_session": "off"})
        for sql in SETUP:
            setup.query(sql)
        setup.close()
        yield server
        log = server.log.read_text()
        assert "PANIC" not in log and "terminated by signal" not in log, log[-3000:]


SETUP = [
    "create role app login",
    "create role other",
    "grant other to app",
    "grant all on schema public to app",
    "create table plain (id int primary key, t text)",
    "insert into plain select i, i::text from generate_series(1, 1000) i",
    "create table serials (id serial, t text)",
    "create table identities (id int generated always as identity, t text)",
    "grant all on all tables in schema public to app",
    "grant all on all sequences in schema public to app",
    "create function admin_sets() returns void language plpgsql security definer as "
    "$$ begin perform set_config('log_min_duration_statement', '1234', false); end $$",
    "create function sets(name text, value text) returns void language plpgsql as "
    "$$ begin perform set_config(name, value, false); end $$",
    "create function scoped() returns text language sql set work_mem = '1MB' as $$ select current_setting('work_mem') $$",
    "create database latin encoding 'LATIN1' locale 'C' template template0",
    "create database ascii encoding 'SQL_ASCII' locale 'C' template template0",
]


@pytest.fixture
def session(server):
    wire = server.connect()
    yield wire
    wire.close()


@pytest.fixture
def app(server):
    wire = server.connect(user="app")
    yield wire
    wire.close()
