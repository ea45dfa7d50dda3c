"""A tenant's roles: nobody becomes a member of what reaches the server, nor touches a role or the stream of the platform.

Each attack comes from an ordinary connection string, and works on a platform without the role guard.
"""

import contextlib

import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest

from fixtures.platform import wait_until

UP_ARGUMENTS = ("--wal", "pull")  # The stream of a safekeeper is one of the things to guard.
CLOSED = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")

# The ways to a membership: each syntax, in the tenant's own statement and in code that it runs.
GAINS = [
    "GRANT pg_execute_server_program TO neondb_owner",
    "GRANT pg_read_server_files, pg_write_server_files TO CURRENT_USER WITH ADMIN OPTION",
    "GRANT pg_monitor, pg_read_server_files TO SESSION_USER",
    "CREATE ROLE gained IN ROLE pg_write_server_files",
    "CREATE USER gained IN GROUP pg_execute_server_program",
    "CREATE GROUP gained IN ROLE pg_monitor, pg_read_server_files ROLE neondb_owner",
    "CREATE ROLE gained; GRANT pg_read_server_files TO gained; GRANT gained TO neondb_owner",
    "GRANT made_before TO neondb_owner",
    "CREATE ROLE gained; ALTER GROUP made_before ADD USER gained",
    "CREATE ROLE gained ROLE neondb_owner; SET ROLE neondb_owner; GRANT pg_read_server_files TO gained",
    "DO $$ BEGIN EXECUTE 'GRANT pg_execute_server_program TO neondb_owner'; END $$",
    "CREATE FUNCTION gain() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS "
    "$$ BEGIN GRANT pg_execute_server_program TO neondb_owner; END $$; SELECT gain()",
    "CREATE FUNCTION gain() RETURNS void LANGUAGE sql AS 'CREATE ROLE gained IN ROLE pg_read_server_files'; SELECT gain()",
    "CREATE TABLE t (a int); CREATE FUNCTION gain() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN GRANT pg_execute_server_program TO neondb_owner; RETURN NEW; END $$; "
    "CREATE TRIGGER gain BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION gain(); INSERT INTO t VALUES (1)",
    "PREPARE p AS SELECT 1; CREATE PROCEDURE gain() LANGUAGE plpgsql AS "
    "$$ BEGIN CREATE ROLE gained IN ROLE pg_execute_server_program; END $$; CALL gain()",
]

# What changes a role of the platform.
CHANGES = [
    "ALTER ROLE neon_superuser LOGIN PASSWORD 'x'",
    "ALTER ROLE neon_superuser SET work_mem = '1GB'",
    "ALTER ROLE neon_superuser IN DATABASE neondb SET work_mem = '1GB'",
    "ALTER ROLE neon_superuser RESET ALL",
    "ALTER ROLE neon_superuser RENAME TO mine",
    "DO $$ BEGIN ALTER USER neon_superuser RENAME TO mine; END $$",
    "DROP ROLE neon_superuser",
    "COMMENT ON ROLE neon_superuser IS 'mine'",
    "REVOKE pg_monitor FROM neon_superuser",
    "DROP OWNED BY neon_superuser",
    "REASSIGN OWNED BY neon_superuser TO neondb_owner",
    "GRANT neondb_owner TO cloud_admin",
    "CREATE ROLE mine ROLE cloud_admin",
    "CREATE ROLE mine ADMIN cloud_admin",
    "CREATE ROLE mine; ALTER GROUP mine ADD USER cloud_admin",
]

# Refused by Postgres itself: kept here, as another major may think otherwise.
REFUSED = [
    "GRANT cloud_admin TO neondb_owner",
    "CREATE ROLE mine IN ROLE cloud_admin",
    "ALTER GROUP pg_execute_server_program ADD USER neondb_owner",
    "ALTER ROLE cloud_admin PASSWORD 'x'",
    "ALTER ROLE cloud_admin SET search_path = mine",
    "ALTER ROLE cloud_admin RENAME TO mine",
    "ALTER ROLE ALL SET work_mem = '1GB'",
    "DROP ROLE cloud_admin",
    "COMMENT ON ROLE cloud_admin IS 'mine'",
    "SECURITY LABEL ON ROLE neon_superuser IS 'mine'",
    "REASSIGN OWNED BY cloud_admin TO neondb_owner",
    "DROP OWNED BY cloud_admin",
    "ALTER DEFAULT PRIVILEGES FOR ROLE cloud_admin GRANT ALL ON TABLES TO neondb_owner",
    "SET ROLE cloud_admin",
    "SET ROLE pg_execute_server_program",
    "SET SESSION AUTHORIZATION cloud_admin",
    "CREATE ROLE mine SUPERUSER",
    "CREATE ROLE mine REPLICATION",
    "ALTER ROLE neondb_owner SUPERUSER",
    "ALTER DATABASE postgres SET search_path = mine",
    "ALTER SYSTEM SET archive_command = 'id'",
    "ALTER SYSTEM RESET ALL",
    "SET halogen.report_session = off",
    "SET halogen.anything = 1",
    "SELECT set_config('halogen.anything', '1', false)",
    "ALTER ROLE neondb_owner SET halogen.report_session = off",
    "ALTER ROLE neondb_owner SET halogen.anything = 1",
    "ALTER DATABASE neondb SET halogen.anything = 1",
    "SET session_preload_libraries = 'x'",
    "ALTER ROLE neondb_owner SET session_preload_libraries = 'x'",
    "SET dynamic_library_path = '/tmp'",
    "LOAD '/tmp/mine.so'",
    "LOAD '$libdir/plugins/../dblink'",
    "CREATE FUNCTION mine() RETURNS void LANGUAGE c AS '/tmp/mine.so', 'mine'",
    "CREATE FUNCTION mine() RETURNS text LANGUAGE internal AS 'pg_read_file'",
    "CREATE EXTENSION file_fdw",
    "CREATE EXTENSION adminpack",
    "CREATE EXTENSION pg_surgery",
    "CREATE EXTENSION pageinspect SCHEMA pg_catalog",
    "CREATE EXTENSION pgstattuple; ALTER EXTENSION pgstattuple ADD FUNCTION pg_catalog.pg_read_file(text)",
    "CREATE EXTENSION pgstattuple; ALTER EXTENSION pgstattuple DROP FUNCTION pgstattuple(text)",
    "CREATE EXTENSION pgstattuple; ALTER FUNCTION pgstattuple(text) OWNER TO neondb_owner",
    "CREATE EXTENSION dblink; SELECT dblink_connect_u('dbname=neondb')",
    "CREATE EXTENSION dblink; SELECT dblink_connect('dbname=postgres user=cloud_admin')",
    "CREATE LANGUAGE plpython3u",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION version()",
    "CREATE SUBSCRIPTION mine CONNECTION 'host=/tmp' PUBLICATION mine",
    "CREATE TABLESPACE mine LOCATION '/tmp'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_drop_replication_slot('safekeeper')",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT pg_reload_conf()",
    "UPDATE pg_authid SET rolsuper = true WHERE rolname = 'neondb_owner'",
    "INSERT INTO pg_auth_members SELECT 4571, oid, 10, true FROM pg_roles WHERE rolname = 'neondb_owner'",
]

# What an owner may do as before.
ALLOWED = [
    "CREATE ROLE app LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data",
    "CREATE GROUP readers WITH USER app",
    "GRANT pg_monitor, pg_write_all_data, pg_signal_backend, pg_checkpoint TO readers WITH ADMIN OPTION",
    "GRANT app TO neondb_owner",
    "GRANT neon_superuser TO app",
    "REVOKE neon_superuser FROM app",
    "REVOKE pg_read_server_files FROM app",
    "ALTER GROUP readers DROP USER app",
    "ALTER ROLE app SET work_mem = '8MB'",
    "ALTER ROLE app IN DATABASE neondb SET search_path = public",
    "ALTER ROLE neondb_owner SET synchronous_commit = on",
    "ALTER DATABASE neondb SET statement_timeout = '1h'",
    "COMMENT ON ROLE app IS 'mine'",
    "CREATE SCHEMA kept AUTHORIZATION app",
    "COMMENT ON SCHEMA kept IS 'mine'",
    "ALTER ROLE app RENAME TO application",
    "REASSIGN OWNED BY application TO neondb_owner",
    "DROP OWNED BY application",
    "DROP ROLE application, readers",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION pgstattuple",
    "ALTER EXTENSION pgstattuple UPDATE",
    "COMMENT ON EXTENSION pgstattuple IS 'mine'",
    "DROP EXTENSION pgstattuple",
    "CREATE TABLE rows (a int)",
    "DROP SCHEMA kept",
]


@contextlib.contextmanager
def rolled_back(connection):
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.rollback()
        connection.autocommit = True


def gained(project, sql):
    """The closed roles' members after the tenant ran `sql`, which is then undone; None if it was refused."""
    with contextlib.closing(project.connect()) as connection, rolled_back(connection) as cursor:
        try:
            cursor.execute(sql)
        except psycopg2.errors.InsufficientPrivilege as error:
            assert "COPY" in error.diag.message_hint
            return None
        cursor.execute("SELECT m.rolname FROM pg_roles m WHERE EXISTS (SELECT FROM pg_roles c WHERE c.rolname = ANY(%s) "
                       "AND c.oid <> m.oid AND NOT m.rolsuper AND pg_has_role(m.oid, c.oid, 'member'))", (list(CLOSED),))
        return sorted(row[0] for row in cursor.fetchall())


@pytest.fixture(scope="module")
def old_memberships(guarded, unguarded):
    """A role of an old database that can do what nobody can get today."""
    for platform in (guarded, unguarded("role_guard")):
        with contextlib.closing(platform.project.superuser()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE made_before IN ROLE pg_execute_server_program, pg_read_server_files, pg_write_server_files")


@pytest.mark.parametrize("sql", GAINS)
def test_no_syntax_makes_a_tenant_member_of_what_reaches_the_server(guarded, unguarded, old_memberships, sql):
    assert gained(guarded.project, sql) is None
    members = gained(unguarded("role_guard").project, sql)
    assert set(members) & {"gained", "neondb_owner"}


@pytest.mark.parametrize("sql", CHANGES)
def test_the_platforms_roles_are_not_a_tenants_to_change(guarded, unguarded, sql):
    for project, refused in ((guarded.project, True), (unguarded("role_guard").project, False)):
        with contextlib.closing(project.connect()) as connection, rolled_back(connection) as cursor:
            if not refused:
                cursor.execute(sql)
                continue
            with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="is the platform's") as raised:
                cursor.execute(sql)
            assert "role of your own" in raised.value.diag.message_hint


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_what_postgres_itself_refuses_stays_refused(guarded, pooled):
    with contextlib.closing(guarded.project.connect(pooled=pooled)) as connection, connection.cursor() as cursor:
        for sql in REFUSED:
            with pytest.raises(psycopg2.Error):
                cursor.execute(sql)
                pytest.fail(f"not refused: {sql}")


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_a_startup_packet_makes_no_setting_of_the_platform(guarded, pooled):
    with pytest.raises(psycopg2.OperationalError, match="halogen.anything"):
        guarded.project.connect(pooled=pooled, options="-c halogen.anything=1")


def test_everything_else_that_an_owner_may_do_stays(guarded):
    with contextlib.closing(guarded.project.connect()) as connection, connection.cursor() as cursor:
        for sql in ALLOWED:
            cursor.execute(sql)


def test_alter_system_says_what_to_use_instead(guarded):
    with contextlib.closing(guarded.project.connect()) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege) as raised:
            cursor.execute("ALTER SYSTEM SET work_mem = '8MB'")
        assert "ALTER DATABASE ... SET" in raised.value.diag.message_hint
        assert "pg_settings" in raised.value.diag.message_hint


def use_membership(project, sql):
    """What `sql` gives to a tenant who has been a member of all closed roles since before there was a guard."""
    with contextlib.closing(project.superuser("neondb")) as admin, admin.cursor() as cursor:
        cursor.execute("GRANT made_before TO neondb_owner")
        cursor.execute("GRANT EXECUTE ON FUNCTION pg_read_file(text), pg_ls_dir(text), lo_import(text) TO neondb_owner")
        try:
            with contextlib.closing(project.connect()) as connection, connection.cursor() as tenant:
                tenant.execute("CREATE TEMP TABLE lines (line text)")
                tenant.execute(sql)
                if tenant.description is None:
                    tenant.execute("SELECT string_agg(line, '') FROM lines")
                return tenant.fetchone()[0]
        except psycopg2.errors.InsufficientPrivilege:
            return None
        finally:
            cursor.execute("REVOKE made_before FROM neondb_owner")


@pytest.mark.parametrize("sql", [
    "COPY lines FROM PROGRAM 'id'",
    "COPY lines FROM '/etc/passwd'",
    "DO $$ BEGIN COPY lines FROM PROGRAM 'id'; END $$",
    "SET ROLE made_before; COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'; RESET ROLE; COPY lines FROM PROGRAM 'id'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT count(*) FROM pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
])
def test_a_membership_from_before_the_guard_is_of_no_use(guarded, unguarded, old_memberships, sql):
    assert use_membership(guarded.project, sql) is None
    assert use_membership(unguarded("role_guard").project, sql)


def gained_in_maintenance(project):
    """A superuser's ANALYZE, as autovacuum's, calls the tenant's function with the tenant's rights."""
    project.query("""
        CREATE FUNCTION gain() RETURNS void LANGUAGE plpgsql AS
            $$ BEGIN GRANT pg_execute_server_program TO neondb_owner; EXCEPTION WHEN insufficient_privilege THEN END $$;
        CREATE FUNCTION indexed(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
            $$ BEGIN IF session_user = 'cloud_admin' THEN PERFORM gain(); END IF; RETURN a; END $$;
        CREATE TABLE analyzed AS SELECT 1 AS a;
        CREATE INDEX ON analyzed (indexed(a))""")
    with contextlib.closing(project.superuser("neondb")) as admin, admin.cursor() as cursor:
        cursor.execute("SET search_path = public")
        cursor.execute("ANALYZE analyzed")
        cursor.execute("SELECT pg_has_role('neondb_owner', 'pg_execute_server_program', 'member')")
        return cursor.fetchone()[0]


def test_a_tenants_code_in_a_superusers_maintenance_gains_nothing(guarded, unguarded):
    assert not gained_in_maintenance(guarded.victim)
    assert gained_in_maintenance(unguarded("role_guard").victim)


@pytest.fixture(scope="module")
def replicators(guarded, unguarded):
    """A role that an operator has given REPLICATION, and a slot of a safekeeper that is away."""
    for platform in (guarded, unguarded("role_guard")):
        project = platform.victim
        platform.set_pg_setting(project, "wal_level", "logical")
        project.suspend()
        project.wake()
        with contextlib.closing(project.superuser()) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'secret' IN ROLE neon_superuser")
            cursor.execute("SELECT current_setting('synchronous_standby_names')")
            platform.standby = cursor.fetchone()[0].split("(")[1].rstrip(")").strip('" ')
            cursor.execute("SELECT pg_create_physical_replication_slot('safekeeper_away', true)")
            cursor.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({platform.standby}, safekeeper_away)'")
            cursor.execute("SELECT pg_reload_conf()")


def end_of_wal(platform):
    with contextlib.closing(platform.victim.superuser()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_flush_lsn()::text")
        return cursor.fetchone()[0]


def streams(platform, kind, name="mine", priority=0, **start):
    """Whether the operator's replicator may begin a stream: then with this priority as a synchronous standby."""
    options = psycopg2.extensions.parse_dsn(platform.victim.connection_string())
    options.update(user="replicator", password="secret", application_name=name, connection_factory=kind)
    with contextlib.closing(psycopg2.connect(**options)) as connection, connection.cursor() as cursor:
        try:
            if kind is psycopg2.extras.LogicalReplicationConnection:
                cursor.create_replication_slot("decoded", output_plugin="pgoutput")
                start = {"slot_name": "decoded", "options": {"proto_version": 1, "publication_names": "none"}}
            else:
                start["start_lsn"] = end_of_wal(platform)  # Of the beginning nothing is there: the stream would end at once.
            cursor.start_replication(**start)
            with contextlib.closing(platform.victim.superuser()) as admin, admin.cursor() as asked:
                def has_priority():
                    if priority:  # Commits wait for those that have ever flushed.
                        cursor.send_feedback(flush_lsn=1, force=True)
                    asked.execute("SELECT max(sync_priority) FROM pg_stat_replication WHERE usename = 'replicator'")
                    return asked.fetchone() == (priority,)

                return wait_until(has_priority, what=f"priority {priority}")
        except psycopg2.errors.InsufficientPrivilege:
            return False


@pytest.fixture
def no_slots_left(guarded, unguarded, replicators):
    yield
    for platform in (guarded, unguarded("role_guard")):
        with contextlib.closing(platform.victim.superuser()) as admin, admin.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots "
                           "WHERE slot_name = 'decoded' AND active")
            cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'decoded'")


@pytest.mark.parametrize("name", ["safekeeper", "SafeKeeper"])
def test_nobody_acknowledges_commits_in_the_safekeepers_name(guarded, unguarded, no_slots_left, name):
    physical, logical = psycopg2.extras.PhysicalReplicationConnection, psycopg2.extras.LogicalReplicationConnection
    for kind in (physical, logical):
        assert not streams(guarded, kind, name)
        assert streams(unguarded("role_guard"), kind, name, priority=1)


def test_streams_of_ones_own_are_logical(guarded, unguarded, no_slots_left):
    physical = {"kind": psycopg2.extras.PhysicalReplicationConnection, "slot_name": "safekeeper_away"}
    assert not streams(guarded, **physical)
    assert streams(unguarded("role_guard"), **physical)
    assert streams(guarded, psycopg2.extras.LogicalReplicationConnection)


def drop_the_slot(platform):
    options = psycopg2.extensions.parse_dsn(platform.victim.connection_string())
    with contextlib.closing(psycopg2.connect(**{**options, "user": "replicator", "password": "secret"})) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            try:
                cursor.execute("SELECT pg_drop_replication_slot('safekeeper_away')")
                return True
            except psycopg2.errors.ObjectInUse as error:
                assert "storage is not connected" in str(error)
                return False


def test_a_slot_whose_safekeeper_is_away_stays(guarded, unguarded, no_slots_left):
    assert not drop_the_slot(guarded)
    assert drop_the_slot(unguarded("role_guard"))
