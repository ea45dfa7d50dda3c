"""Roles and databases by API: what there is by SQL is shown, what is made by API works by SQL, also while the compute sleeps."""

import contextlib

import psycopg2
import pytest


class Objects:
    """The API's view of a project's default branch."""

    def __init__(self, project):
        self.project = project
        branches = project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
        self.path = f"/api/v2/projects/{project.id}/branches/{branches[0]['id']}"

    def call(self, method, path, body=None, status=None):
        return self.project.platform.api(method, self.path + path, body, status=status)

    def roles(self):
        return [role["name"] for role in self.call("GET", "/roles")["roles"]]

    def databases(self):
        return {one["name"]: one["owner_name"] for one in self.call("GET", "/databases")["databases"]}

    def connect(self, role, password, database="neondb"):
        host = self.project.endpoint() + ".us-east-1.localhost"
        connection = psycopg2.connect(host=host, port=self.project.platform.pg_port, user=role, password=password,
                                      dbname=database, sslmode="require")
        connection.autocommit = True
        return contextlib.closing(connection)


@pytest.fixture
def objects(project):
    return Objects(project)


def rows(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_a_role_made_by_api_logs_in_and_does_what_the_owner_does(objects):
    made = objects.call("POST", "/roles", {"role": {"name": "app \"one\""}}, 201)
    assert made["operations"][0]["status"] == "finished"
    with objects.connect('app "one"', made["role"]["password"]) as connection:
        rows(connection, "create database by_app")
        rows(connection, "create role helper")
        assert rows(connection, "select current_user") == [('app "one"',)]
    assert objects.databases() == {"by_app": 'app "one"', "neondb": "neondb_owner"}
    assert objects.roles() == ['app "one"', "helper", "neondb_owner"]
    assert objects.call("GET", "/roles/app%20%22one%22/reveal_password")["password"] == made["role"]["password"]
    assert objects.call("GET", "/roles/helper")["role"]["authentication_method"] == "no_login"


def test_what_sql_made_is_shown_while_the_compute_sleeps_and_is_changed_then(project, objects):
    project.query("create role by_sql login password 'secret'")
    project.query("create database wide owner neondb_owner")
    project.suspend()
    assert objects.roles() == ["by_sql", "neondb_owner"]
    assert objects.databases() == {"neondb": "neondb_owner", "wide": "neondb_owner"}
    assert project.compute()["state"] == "idle", "looking wakes nothing"
    changed = objects.call("PATCH", "/databases/wide", {"database": {"name": "wider", "owner_name": "by_sql"}}, 200)
    assert changed["database"]["owner_name"] == "by_sql"
    assert objects.databases() == {"neondb": "neondb_owner", "wider": "by_sql"}
    project.suspend()
    objects.call("DELETE", "/databases/wider", status=200)
    assert objects.databases() == {"neondb": "neondb_owner"}


def test_a_new_password_takes_the_old_ones_place_at_once(objects):
    first = objects.call("POST", "/roles", {"role": {"name": "app"}}, 201)["role"]["password"]
    second = objects.call("POST", "/roles/app/reset_password", {}, 200)["role"]["password"]
    assert first != second
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        objects.connect("app", first)
    with objects.connect("app", second):
        pass


def test_a_role_is_deleted_with_its_sessions_grants_and_objects(project, objects):
    password = objects.call("POST", "/roles", {"role": {"name": "app"}}, 201)["role"]["password"]
    project.query("grant create on database neondb to app")
    with objects.connect("app", password) as connection:
        rows(connection, "create schema theirs")
        rows(connection, "create table theirs.things as select 1 as n")
        rows(connection, "create database apps")
    refused = objects.call("DELETE", "/roles/app", status=422)
    assert refused["message"] == 'role owns the database "apps": give that another owner first'
    objects.call("DELETE", "/databases/apps", status=200)
    objects.call("DELETE", "/roles/app", status=200)
    assert objects.roles() == ["neondb_owner"]
    assert project.query("select n, tableowner from theirs.things, pg_tables where tablename = 'things'") == [
        (1, "neondb_owner")]
    objects.call("DELETE", "/roles/app", status=204)


def test_nothing_that_a_deleted_role_owned_becomes_the_superusers(project, objects):
    """A function of the superuser's would run with all its rights."""
    password = objects.call("POST", "/roles", {"role": {"name": "app"}}, 201)["role"]["password"]
    with contextlib.closing(project.superuser()) as superuser:
        rows(superuser, "grant create on schema public to app")
    with objects.connect("app", password, "postgres") as connection:
        rows(connection, "create function public.who() returns name language sql security definer "
                         "as 'select current_user'")
    objects.call("DELETE", "/roles/app", status=200)
    with contextlib.closing(project.superuser()) as superuser:
        assert rows(superuser, "select proowner::regrole from pg_proc where proname = 'who'") == []


@pytest.mark.parametrize("method, path, body, status, message", [
    ("POST", "/roles", {"role": {"name": "neondb_owner"}}, 409, "role already exists"),
    ("POST", "/roles", {"role": {"name": "cloud_admin"}}, 409, "role already exists"),
    ("POST", "/roles", {"role": {"name": "pg_mine"}}, 400, "reserved"),
    ("POST", "/roles", {"role": {"name": ""}}, 400, "role.name is required"),
    ("POST", "/roles", {"role": {"name": "a" * 64}}, 400, "longer than 63 bytes"),
    ("POST", "/roles", {"role": {"name": 1}}, 400, "name"),
    ("GET", "/roles/cloud_admin", None, 404, "role not found"),
    ("POST", "/roles/cloud_admin/reset_password", {}, 404, "role not found"),
    ("DELETE", "/roles/neondb_owner", None, 422, 'owns the database "neondb"'),
    ("POST", "/databases", {"database": {"name": "neondb", "owner_name": "neondb_owner"}}, 409,
     "database already exists"),
    ("POST", "/databases", {"database": {"name": "postgres", "owner_name": "neondb_owner"}}, 409,
     "database already exists"),
    ("POST", "/databases", {"database": {"name": "mine", "owner_name": "cloud_admin"}}, 404, "role not found"),
    ("PATCH", "/databases/postgres", {"database": {"owner_name": "neondb_owner"}}, 404, "database not found"),
    ("GET", "/databases/none", None, 404, "database not found"),
])
def test_what_cannot_be_is_refused(objects, method, path, body, status, message):
    answer = objects.call(method, path, body, status)
    assert message in answer["message"]


def test_a_project_may_begin_with_other_names(platform):
    made = platform.api("POST", "/api/v2/projects",
                        {"project": {"branch": {"role_name": "alice", "database_name": "shop & co"}}}, status=201)
    [uri] = made["connection_uris"]
    with contextlib.closing(psycopg2.connect(uri["connection_uri"])) as connection:
        assert rows(connection, "select current_user, current_database()") == [("alice", "shop & co")]
    assert [role["name"] for role in made["roles"]] == ["alice"]
    assert platform.cli("connection-string", "--project", made["project"]["id"]).strip() == uri["connection_uri"]
    platform.cli("projects", "delete", made["project"]["id"])


def test_the_command_line_makes_and_lists_them(platform, project):
    password = platform.cli("roles", "create", "--project", project.id, "app").strip()
    platform.cli("databases", "create", "--project", project.id, "shop", "--owner", "app")
    assert "shop" in platform.cli("databases", "list", "--project", project.id)
    with Objects(project).connect("app", password, "shop") as connection:
        assert rows(connection, "select 1") == [(1,)]
    platform.cli("databases", "delete", "--project", project.id, "shop")
    platform.cli("roles", "delete", "--project", project.id, "app")
    assert "app" not in platform.cli("roles", "list", "--project", project.id)


def test_no_password_or_verifier_is_in_the_computes_log(project, objects):
    objects.call("POST", "/roles", {"role": {"name": "app"}}, 201)
    objects.call("POST", "/roles", {"role": {"name": "pg_mine"}}, 400)
    log = project.compute()["log_file"]
    text = open(log).read()
    assert 'role name "pg_mine" is reserved' in text
    assert "SCRAM-SHA-256" not in text
