"""No socket of the platform trusts its peer because it could open a path."""

import contextlib

import psycopg2
import pytest

from isolation import inside

WHO = "SELECT current_user"


def own_folder(project):
    return project.query("SHOW unix_socket_directories")[0][0]


def psql_inside(project, options=""):
    """Who psql is that runs inside the compute, connects to the compute's own socket and says that it is the superuser."""
    status, output = inside.run(project, f"PGOPTIONS='{options}' psql -h {own_folder(project)} -U cloud_admin -d postgres -Atc '{WHO}'")
    return output.strip() if status == 0 else None


def by_dblink(project):
    """Who the owner gets to be by dblink to the compute's own socket, had a superuser let it use that."""
    target = f"host={own_folder(project)} user=cloud_admin dbname=postgres"
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO neondb_owner")
    try:
        return project.query("SELECT dblink_connect_u(%s); SELECT * FROM dblink(%s) AS t(who text)", target, WHO)[0][0]
    except psycopg2.Error as error:
        assert "authentication failed" in str(error), error
        return None


def by_foreign_table(project):
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        cursor.execute(f"""
            CREATE EXTENSION IF NOT EXISTS postgres_fdw; DROP SERVER IF EXISTS own CASCADE;
            CREATE SERVER own FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{own_folder(project)}', dbname 'postgres');
            CREATE USER MAPPING FOR neondb_owner SERVER own OPTIONS (user 'cloud_admin', password_required 'false');
            GRANT USAGE ON FOREIGN SERVER own TO neondb_owner""")
    try:
        project.query("CREATE FOREIGN TABLE IF NOT EXISTS secrets (rolname name, rolpassword text) SERVER own OPTIONS (schema_name 'pg_catalog', table_name 'pg_authid')")
        return project.query("SELECT count(*) FROM secrets")[0][0]
    except psycopg2.Error as error:
        assert "authentication failed" in str(error), error
        return None


@pytest.mark.parametrize("attack", [psql_inside, by_dblink, by_foreign_table])
def test_nothing_inside_a_compute_opens_its_own_socket(guarded, unguarded, attack):
    assert attack(guarded.project) is None
    assert attack(unguarded("login_secret").project) is not None


@pytest.mark.parametrize("secret", ["0" * 64, "", "0" * 63, "0" * 65])
def test_a_forged_secret_is_refused_and_nothing_more_said(guarded, secret):
    own = dict(guarded.project.own_socket(), options=f"-c halogen.login_secret={secret}")
    with pytest.raises(psycopg2.OperationalError, match="FATAL:  authentication failed$"):
        psycopg2.connect(**own, dbname="postgres")


def test_an_old_starts_secret_is_refused(guarded):
    old = guarded.project.own_socket()
    guarded.project.suspend()
    guarded.project.query("SELECT 1")
    new = guarded.project.own_socket()
    psycopg2.connect(**new, dbname="postgres").close()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(**dict(new, options=old["options"]), dbname="postgres")


def test_a_clients_own_options_count_and_are_no_place_for_the_secret(guarded):
    with contextlib.closing(guarded.project.connect(options="-c statement_timeout=4321")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone()[0] == "4321ms"
    with pytest.raises(psycopg2.OperationalError, match='invalid configuration parameter name "halogen.login_secret"'):
        guarded.project.connect(options="-c halogen.login_secret=mine")
