"""A branch with the schema and the roles of another, and none of its rows."""

import psycopg2
import pytest

from fixtures.platform import Project, wait_until


def test_all_but_the_rows(platform, project):
    project.query("""
        CREATE ROLE app LOGIN PASSWORD 'app-secret' VALID UNTIL '2090-01-01' CONNECTION LIMIT 7;
        CREATE ROLE readers; GRANT readers TO app WITH ADMIN OPTION; GRANT app TO neondb_owner;
        ALTER ROLE app SET search_path = kept, public;
        ALTER ROLE app IN DATABASE neondb SET work_mem = '8MB';
        ALTER DATABASE neondb SET statement_timeout = '1h';
        CREATE SCHEMA kept AUTHORIZATION app;
        CREATE EXTENSION pgstattuple SCHEMA kept; CREATE EXTENSION hstore;
        CREATE TABLE kept.t (id serial PRIMARY KEY, h hstore, b text DEFAULT 'it''s');
        INSERT INTO kept.t (b) SELECT repeat('x', 100) FROM generate_series(1, 10000);
        CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM kept.t;
        GRANT SELECT ON kept.t TO readers; GRANT ALL ON kept.t, kept.t_id_seq TO app""")
    project.query("CREATE DATABASE \"Other one\" OWNER app ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    branches = f"/api/v2/projects/{project.id}/branches"
    main = platform.api("GET", branches)["branches"][0]
    made = platform.api("POST", branches, {"branch": {"name": "empty", "init_source": "schema-only", "parent_id": main["id"]},
                                           "endpoints": [{"type": "read_write"}]})
    assert made["branch"]["init_source"] == "schema-only" and "parent_id" not in made["branch"]
    operation = f"/api/v2/projects/{project.id}/operations/{made['operations'][0]['id']}"
    wait_until(lambda: platform.api("GET", operation)["operation"]["status"] == "finished", what="the operation's end")
    assert platform.api("GET", f"{branches}/{made['branch']['id']}")["branch"]["current_state"] == "ready"

    def ask(sql):
        return project.query(sql, branch="empty")

    assert ask("SELECT count(*) FROM kept.t") == [(0,)]
    assert ask("SELECT answer()") == [(42,)]
    # The same owner with the same password, and others with theirs.
    assert ask("SELECT current_user::text") == [("neondb_owner",)]
    app = project.connection_string("empty").replace("neondb_owner:", "app:", 1)
    app = app[:app.index("app:")] + "app:app-secret" + app[app.index("@"):]
    connection = psycopg2.connect(app)
    with connection.cursor() as cursor:
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone() == ("8MB",)
        cursor.execute("INSERT INTO t (b) VALUES (DEFAULT) RETURNING id, b")
        assert cursor.fetchone() == (1, "it's")
    connection.commit()
    connection.close()
    roles = ("SELECT rolname::text, rolcanlogin, rolcreaterole, rolbypassrls, rolconnlimit, rolvaliduntil::text FROM pg_roles "
             "WHERE rolname !~ '^pg_' ORDER BY 1")
    assert ask(roles) == project.query(roles)
    members = "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2"
    assert ask(members) == project.query(members)
    extensions = "SELECT extname::text, extowner::regrole::text, extnamespace::regnamespace::text FROM pg_extension ORDER BY 1"
    assert ask(extensions) == project.query(extensions)
    databases = "SELECT datname::text, datdba::regrole::text, datcollate FROM pg_database ORDER BY 1"
    assert ask(databases) == project.query(databases)
    assert ask("SHOW statement_timeout") == [("1h",)]
    # The extension is its owner's to drop.
    project.query("DROP EXTENSION pgstattuple", branch="empty")
    # Nothing of the rows is in its history.
    with pytest.raises(psycopg2.Error):
        lsn = main_lsn(project)
        project.connect("empty", options=f"neon_lsn:{lsn}").cursor().execute("SELECT count(*) FROM kept.t")


def main_lsn(project: Project):
    return project.query("SELECT pg_current_wal_lsn()::text")[0][0]


def test_the_past_has_no_schema_only_branch(platform, project):
    branches = f"/api/v2/projects/{project.id}/branches"
    answer = platform.api("POST", branches, {"branch": {"init_source": "schema-only", "parent_timestamp": "2026-01-01T00:00:00Z"}}, status=400)
    assert "schema-only" in answer["message"]
