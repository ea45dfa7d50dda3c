"""CREATE EXTENSION for an owner who is no superuser: all of the list, nothing else, and nobody gains by it."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import psycopg2
import psycopg2.errors
import pytest

from fixtures.platform import ROOT
from session.server import PG_BIN

FOLDER = Path("/usr/share/postgresql/15/extension")
LIST = (ROOT / "src/protocol/owner_extensions.def").read_text()
OFFERED = dict(re.findall(r'^HALOGEN_EXTENSION\("([^"]+)", "([^"]+)"', LIST, re.M))
# pg_cron can be created only where it is preloaded: api/test_jobs.py.
INSTALLED = sorted(name for name in OFFERED if (FOLDER / f"{name}.control").exists() and name != "pg_cron")


def login(server, user="owner", database="owned"):
    connection = psycopg2.connect(host=str(server.folder), user=user, dbname=database)
    connection.autocommit = True
    return contextlib.closing(connection)


@pytest.fixture(scope="module")
def owned(server):
    """A database of a role that is no superuser but may do what the owner of a project may."""
    with login(server, "postgres", "postgres") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE neon_superuser IN ROLE pg_read_all_data, pg_write_all_data, pg_monitor")
        cursor.execute("CREATE ROLE owner LOGIN CREATEDB CREATEROLE BYPASSRLS IN ROLE neon_superuser")
        cursor.execute("CREATE ROLE guest LOGIN")
        cursor.execute("CREATE DATABASE owned OWNER owner")


@pytest.fixture
def sql(server, owned):
    """The owner's cursor; what is made is taken back."""
    with login(server) as connection:
        connection.autocommit = False
        with connection.cursor() as cursor:
            yield cursor
        connection.rollback()


def one(cursor, query, *parameters):
    cursor.execute(query, parameters)
    return cursor.fetchone()[0]


def test_all_that_debian_has_of_contrib_is_offered_but_for_what_is_the_platforms():
    of_postgres = {path.stem for path in FOLDER.glob("*.control")
                   if "postgresql-15" in subprocess.run(["dpkg", "-S", path], capture_output=True, text=True).stdout.split(":")[0].split()}
    assert of_postgres - set(OFFERED) == {"adminpack", "file_fdw", "pg_surgery"}


@pytest.mark.parametrize("name", INSTALLED)
def test_the_owner_creates_each_uses_its_grants_and_drops_it(sql, name):
    if name != "plpgsql":
        sql.execute(f'CREATE EXTENSION "{name}" CASCADE')
    assert one(sql, "SELECT extowner::regrole::text FROM pg_extension WHERE extname = %s", name) == ("owner" if name != "plpgsql" else "postgres")
    assert one(sql, "SELECT current_user || session_user") == "ownerowner"
    # What its script made with a superuser's rights is not the owner's to change.
    foreign = one(sql, "SELECT count(*) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_extension e ON e.oid = d.refobjid "
                       "WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND p.proowner = 'owner'::regrole AND e.extname = %s", name)
    assert foreign == 0 or name == "postgis_tiger_geocoder"
    if name != "plpgsql":
        sql.execute(f'DROP EXTENSION "{name}"')


@pytest.mark.parametrize("name", INSTALLED)
def test_no_function_runs_with_the_platforms_rights(sql, name):
    if name != "plpgsql":
        sql.execute(f'CREATE EXTENSION "{name}" CASCADE')
    assert one(sql, "SELECT coalesce(string_agg(oid::regprocedure::text, ', '), '') FROM pg_proc WHERE prosecdef AND proowner = 10") == ""


@pytest.mark.skipif("pg_repack" not in INSTALLED, reason="postgresql-15-repack is not installed")
def test_a_trigger_that_runs_any_sql_runs_it_as_its_caller(sql):
    """As its author made it, SECURITY DEFINER, it would take its owner, the platform, for its caller."""
    sql.execute("CREATE EXTENSION pg_repack; CREATE TABLE said (who text); CREATE TABLE t (a int PRIMARY KEY)")
    sql.execute("CREATE TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION "
                "repack.repack_trigger('INSERT INTO said SELECT current_user FROM (SELECT $1, $2) AS both_rows')")
    with pytest.raises(psycopg2.Error, match="must be superuser to use repack_trigger function"):
        sql.execute("INSERT INTO t VALUES (1)")


def test_what_is_granted_is_the_owners_to_grant_on(sql):
    sql.execute("CREATE SCHEMA parts; CREATE EXTENSION postgres_fdw; CREATE EXTENSION amcheck; CREATE EXTENSION pg_stat_statements SCHEMA parts")
    sql.execute("CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'other'); GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO guest")
    sql.execute("CREATE TABLE t (a int PRIMARY KEY); SELECT bt_index_check('t_pkey', true)")
    assert one(sql, "SELECT has_function_privilege('parts.pg_stat_statements_reset(oid, oid, bigint)', 'execute')")
    assert not one(sql, "SELECT has_function_privilege('guest', 'parts.pg_stat_statements_reset(oid, oid, bigint)', 'execute')")


def test_updates_are_the_owners(sql):
    sql.execute("CREATE EXTENSION pgstattuple VERSION '1.4'")
    sql.execute("ALTER EXTENSION pgstattuple UPDATE")
    assert one(sql, "SELECT extversion FROM pg_extension WHERE extname = 'pgstattuple'") == "1.5"
    assert one(sql, "SELECT current_user::text") == "owner"


def test_a_preloaded_library_that_is_missing_is_said(sql):
    sql.execute("CREATE EXTENSION pg_stat_statements")
    assert any("preload_libraries" in notice for notice in sql.connection.notices)


def test_required_extensions_are_made_and_each_is_looked_up(sql):
    sql.execute("CREATE SCHEMA earth; CREATE EXTENSION earthdistance SCHEMA earth CASCADE")
    assert 'installing required extension "cube"' in "".join(sql.connection.notices)
    sql.execute("SELECT extname, extowner::regrole::text, extnamespace::regnamespace::text FROM pg_extension WHERE extname IN ('cube', 'earthdistance')")
    assert sorted(sql.fetchall()) == [("cube", "owner", "earth"), ("earthdistance", "owner", "earth")]


def test_a_missing_one_names_its_package(sql):
    missing = next(name for name in OFFERED if name not in INSTALLED)
    with pytest.raises(psycopg2.errors.FeatureNotSupported) as raised:
        sql.execute(f'CREATE EXTENSION "{missing}"')
    assert OFFERED[missing] in raised.value.diag.message_hint
    assert OFFERED["vector"] == "postgresql-15-pgvector"


@pytest.mark.parametrize("name", ["file_fdw", "adminpack", "pg_surgery"])
def test_what_is_not_offered_is_refused_clearly(sql, name):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege) as raised:
        sql.execute(f"CREATE EXTENSION {name}")
    assert "docs/extensions.md" in raised.value.diag.message_hint


def test_who_may_not_create_in_the_database_creates_no_extension(server, owned):
    with login(server, "guest") as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied to create extension"):
            cursor.execute("CREATE EXTENSION pgstattuple SCHEMA public")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="must be owner of extension plpgsql"):
            cursor.execute("ALTER EXTENSION plpgsql UPDATE")


@pytest.fixture
def platforms(server, owned):
    """A schema that the owner may see and no more."""
    with login(server, "postgres", "owned") as admin, admin.cursor() as cursor:
        cursor.execute("CREATE SCHEMA platforms; GRANT USAGE ON SCHEMA platforms TO owner")
        yield
        cursor.execute("DROP SCHEMA platforms")


@pytest.mark.parametrize("schema", ["pg_catalog", "information_schema", "pg_temp", "platforms"])
def test_no_schema_that_is_not_the_creators(platforms, sql, schema):
    sql.execute("CREATE TEMP TABLE makes_the_schema ()")
    if schema == "pg_temp":
        schema = one(sql, "SELECT pg_my_temp_schema()::regnamespace::text")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match=f'in schema "{schema}"'):
        sql.execute(f"CREATE EXTENSION pgstattuple SCHEMA {schema}")


@pytest.mark.parametrize("path", ["pg_catalog", "platforms"])
def test_nor_by_the_search_path(platforms, sql, path):
    sql.execute(f"SET search_path = {path}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="in schema"):
        sql.execute("CREATE EXTENSION pgstattuple")



# Objects that an owner plants where an extension's script will look, and what careless scripts do there.
PLANTS = """
    CREATE FUNCTION describe(name) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'CREATE ROLE gained SUPERUSER'; RETURN 'x'; END $$;
    CREATE FUNCTION indexed(name) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'CREATE ROLE gained SUPERUSER'; RETURN 'x'; END $$;
    CREATE FUNCTION apart(int2, int2) RETURNS text LANGUAGE sql AS $$ SELECT 'far'::text $$;
    CREATE OPERATOR <-> (LEFTARG = int2, RIGHTARG = int2, FUNCTION = apart);
    CREATE OPERATOR <#> (LEFTARG = int2, RIGHTARG = int2, FUNCTION = int2pl);
    CREATE TABLE settings (t text);
    CREATE FUNCTION right_one(text) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'CREATE ROLE gained SUPERUSER'; RETURN true; END $$;
    CREATE DOMAIN checked AS text CHECK (right_one(VALUE));
    CREATE FUNCTION on_settings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM right_one('x'); RETURN NEW; END $$;
"""
CARELESS = {
    "call": "SELECT describe('x'::name)",
    "block": "DO $$ DECLARE n name := 'x'; BEGIN PERFORM describe(n); END $$",
    "view": "CREATE VIEW seen AS SELECT describe('x'::name) AS d",
    "inlined": "SELECT apart(1::int2, 2::int2)",
    "operator": "SELECT 1::int2 <-> 2::int2",
    "operator of Postgres' function": "SELECT 1::int2 <#> 2::int2",
    "table": "INSERT INTO settings VALUES ('x')",
    "domain": "CREATE TABLE mine (a checked); INSERT INTO mine VALUES ('x')",
    "default": "CREATE TABLE mine (a text DEFAULT describe('x'::name)); INSERT INTO mine DEFAULT VALUES",
    "trigger": "CREATE TABLE mine (a text); CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION on_settings(); "
               "INSERT INTO mine VALUES ('x')",
    "index": "CREATE TABLE mine (a name); INSERT INTO mine VALUES ('x'); CREATE INDEX ON mine (indexed(a))",
}


@pytest.fixture
def careless(request):
    """`prefix`, offered and not installed here, with a script of ours."""
    control, script = FOLDER / "prefix.control", FOLDER / "prefix--1.sql"
    if control.exists():
        pytest.skip("Debian's prefix is installed")
    if not os.access(FOLDER, os.W_OK):
        pytest.skip("only root can install an extension")
    try:
        control.write_text("default_version = '1'\nrelocatable = true\n")
        script.write_text(CARELESS[request.param] + ";\n")
        yield
    finally:
        control.unlink(missing_ok=True)
        script.unlink(missing_ok=True)


@pytest.mark.parametrize("careless", CARELESS, indirect=True)
def test_what_an_owner_planted_is_not_used_by_a_script(sql, careless):
    sql.execute("CREATE SCHEMA planted; SET search_path = planted;" + PLANTS)
    sql.execute("SAVEPOINT before")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="in the way of an extension's script|permission denied for function"):
        sql.execute("CREATE EXTENSION prefix SCHEMA planted")
    sql.execute("ROLLBACK TO before")
    assert one(sql, "SELECT current_user || session_user") == "ownerowner"
    assert one(sql, "SELECT count(*) FROM pg_roles WHERE rolname = 'gained'") == 0


@pytest.mark.parametrize("careless", ["call"], indirect=True)
def test_rights_end_with_the_statement_in_a_block_that_catches_its_error(sql, careless):
    sql.execute("CREATE SCHEMA planted; SET search_path = planted;" + PLANTS)
    sql.execute("CREATE FUNCTION tries() RETURNS text LANGUAGE plpgsql AS $$ BEGIN CREATE EXTENSION prefix; RETURN 'made'; "
                "EXCEPTION WHEN insufficient_privilege THEN RETURN current_user; END $$")
    assert one(sql, "SELECT tries()") == "owner"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        sql.execute("ALTER ROLE postgres RENAME TO mine")


def test_a_dump_is_restored_by_the_owner(server, owned):
    with login(server) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA kept; CREATE EXTENSION pgstattuple SCHEMA kept; CREATE EXTENSION hstore; CREATE EXTENSION postgres_fdw")
        cursor.execute("CREATE SERVER kept FOREIGN DATA WRAPPER postgres_fdw; CREATE TABLE kept.rows (h hstore); INSERT INTO kept.rows VALUES ('a=>1')")
        cursor.execute("CREATE DATABASE again OWNER owner")
    try:
        dump = subprocess.run([PG_BIN / "pg_dump", "-h", server.folder, "-U", "owner", "owned"], check=True, capture_output=True).stdout
        restored = subprocess.run([PG_BIN / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", server.folder, "-U", "owner", "-d", "again"],
                                  input=dump, capture_output=True)
        assert restored.returncode == 0, restored.stderr.decode()
        with login(server, database="again") as connection, connection.cursor() as cursor:
            assert one(cursor, "SELECT string_agg(extname || ' ' || extnamespace::regnamespace, ',' ORDER BY extname) FROM pg_extension") \
                == "hstore public,pgstattuple kept,plpgsql pg_catalog,postgres_fdw public"
            assert one(cursor, "SELECT h -> 'a' FROM kept.rows") == "1"
    finally:
        with login(server) as connection, connection.cursor() as cursor:
            cursor.execute("DROP EXTENSION pgstattuple, postgres_fdw CASCADE; DROP SCHEMA kept CASCADE; DROP EXTENSION hstore")
            cursor.execute("DROP DATABASE again")
