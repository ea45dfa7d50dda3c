"""neonctl walked through its commands. What it was told is compared with the official document by the fixture."""

import re

import psycopg2
import pytest

from fixtures.platform import Project


@pytest.fixture
def made(platform, neonctl):
    """A project that neonctl made."""
    made = neonctl("projects", "create", "--name", "by-neonctl")
    yield made
    Project(platform, made["project"]["id"]).delete()


@pytest.fixture
def ctl(neonctl, made):
    """neonctl with that project."""
    return lambda *command: neonctl(*command, "--project-id", made["project"]["id"])


def test_who_asks(neonctl):
    me = neonctl("me")
    assert me["name"] == "operator"
    assert len(neonctl("orgs", "list")) == 1


def test_a_projects_life(neonctl, made):
    project = made["project"]
    uri = made["connection_uris"][0]["connection_uri"]
    assert "channel_binding=require" in uri
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("select 1")
    connection.close()
    listed = neonctl("projects", "list")
    assert project["id"] in [one["id"] for one in listed["projects"]]
    assert neonctl("projects", "get", project["id"])["name"] == "by-neonctl"
    assert neonctl("projects", "update", project["id"], "--name", "other")["name"] == "other"
    assert neonctl("projects", "delete", project["id"])["id"] == project["id"]
    assert project["id"] not in [one["id"] for one in neonctl("projects", "list")["projects"]]
    assert "project not found" in neonctl.refused("projects", "get", project["id"])
    deleted = {one["id"]: one for one in neonctl("projects", "list", "--recoverable-only")}
    assert deleted[project["id"]]["recoverable_until"] > deleted[project["id"]]["deleted_at"]
    with pytest.raises(psycopg2.OperationalError, match="the project is deleted"):
        psycopg2.connect(uri)
    neonctl("projects", "recover", project["id"])
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("select 1")
    connection.close()


def test_branches(ctl, made):
    def branches():
        return {one["name"]: one for one in ctl("branches", "list")}

    assert branches()["main"]["default"]
    dev = ctl("branches", "create", "--name", "dev")
    assert dev["branch"]["name"] == "dev" and len(dev["endpoints"]) == 1
    bare = ctl("branches", "create", "--name", "bare", "--no-compute")
    assert not bare.get("endpoints"), "a branch gets an endpoint only when asked"
    endpoint = ctl("branches", "add-compute", "bare", "--name", "mine", "--cu", "0.5-2")
    assert (endpoint["autoscaling_limit_min_cu"], endpoint["autoscaling_limit_max_cu"]) == (0.5, 2)
    ctl("branches", "rename", "bare", "renamed")
    ctl("branches", "set-expiration", "renamed", "--expires-at", "2099-01-01T00:00:00Z")
    assert branches()["renamed"]["expires_at"] == "2099-01-01T00:00:00Z"
    ctl("branches", "set-expiration", "renamed")
    assert "expires_at" not in branches()["renamed"]
    ctl("branches", "set-default", "dev")
    assert branches()["dev"]["default"] and not branches()["main"]["default"]
    assert ctl("branches", "get", "dev")["id"] == dev["branch"]["id"]
    ctl("branches", "delete", "renamed")
    assert set(branches()) == {"main", "dev"}


def test_reset_and_restore(ctl, neonctl, made):
    uri = made["connection_uris"][0]["connection_uri"]
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("create table t as select 1 as n")
    ctl("branches", "create", "--name", "dev")
    child = psycopg2.connect(connection_string(neonctl, made, "dev"))
    child.autocommit = True
    child.cursor().execute("drop table t")
    child.close()
    reset = ctl("branches", "reset", "dev", "--parent")
    assert reset["last_reset_at"]
    with psycopg2.connect(connection_string(neonctl, made, "dev")) as child, child.cursor() as rows:
        rows.execute("select n from t")
    child.close()
    cursor.execute("select pg_current_wal_insert_lsn()")
    before = cursor.fetchone()[0]
    cursor.execute("update t set n = 2")
    connection.close()
    restored = ctl("branches", "restore", "main", f"^self@{before}", "--preserve-under-name", "old")
    assert restored["restored_branch"]["name"] == "main" and restored["backup_branch"]["name"] == "old"
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("select n from t")
        assert cursor.fetchall() == [(1,)]
    connection.close()


def connection_string(neonctl, made, *arguments):
    """neonctl puts strings together without a port: Postgres' own is meant."""
    text = neonctl.run("connection-string", *arguments, "--project-id", made["project"]["id"]).stdout.strip()
    port = re.search(r":(\d+)/", made["connection_uris"][0]["connection_uri"]).group(1)
    return re.sub(r"(@[^/:?]+)/", rf"\1:{port}/", text)


def test_roles_databases_and_connection_strings(ctl, neonctl, made):
    assert [one["name"] for one in ctl("roles", "list")] == ["neondb_owner"]
    ctl("roles", "create", "--name", "app")
    ctl("databases", "create", "--name", "shop", "--owner-name", "app")
    assert {one["name"]: one["owner_name"] for one in ctl("databases", "list")} == {"neondb": "neondb_owner", "shop": "app"}
    for pooled in ([], ["--pooled"]):
        uri = connection_string(neonctl, made, "--role-name", "app", "--database-name", "shop", *pooled)
        assert ("-pooler." in uri) == bool(pooled)
        with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
            cursor.execute("select current_user, current_database()")
            assert cursor.fetchall() == [("app", "shop")]
        connection.close()
    ctl("databases", "delete", "shop")
    ctl("roles", "delete", "app")
    assert [one["name"] for one in ctl("roles", "list")] == ["neondb_owner"]


def test_operations(ctl, made):
    ctl("roles", "create", "--name", "app")
    operations = ctl("operations", "list")
    assert {one["action"] for one in operations} >= {"create_timeline", "apply_config", "start_compute"}
    assert all(one["status"] in ("finished", "skipped") for one in operations)


def test_allowed_addresses(ctl, neonctl, made):
    project = made["project"]["id"]
    neonctl("ip-allow", "add", "192.0.2.1", "198.51.100.0/24", "--project-id", project)
    listed = neonctl("ip-allow", "list", "--project-id", project)
    assert listed["IP_addresses"] == ["192.0.2.1", "198.51.100.0/24"]
    neonctl("ip-allow", "remove", "192.0.2.1", "--project-id", project)
    neonctl("ip-allow", "add", "192.0.2.7", "--protected-only", "true", "--project-id", project)
    assert neonctl("ip-allow", "list", "--project-id", project)["protected_branches_only"] is True
    neonctl("ip-allow", "reset", "--project-id", project)
    assert neonctl("ip-allow", "list", "--project-id", project)["IP_addresses"] == []


def test_api_keys(platform, recorder, tmp_path, neonctl, made):
    mine = neonctl("api-keys", "create", "--name", "mine")
    assert mine["id"] in [one["id"] for one in neonctl("api-keys", "list")]
    organization = neonctl("orgs", "list")[0]["id"]
    theirs = neonctl("api-keys", "create", "--name", "theirs", "--org-id", organization)
    ofproject = neonctl("api-keys", "create", "--name", "of project", "--project-id", made["project"]["id"])
    for key, projects in (mine, 1), (theirs, 1), (ofproject, 0):
        client = type(neonctl)(platform, recorder.url, tmp_path, key["key"])
        assert client("projects", "get", made["project"]["id"])["id"] == made["project"]["id"]
        if not projects:
            assert "outside the project this key is scoped to" in client.refused("projects", "list")
            assert "scoped to a project" in client.refused("projects", "delete", made["project"]["id"])
    for key, arguments in (mine, ()), (theirs, ("--org-id", organization)), (ofproject, ("--org-id", organization)):
        neonctl("api-keys", "revoke", str(key["id"]), *arguments)
        client = type(neonctl)(platform, recorder.url, tmp_path, key["key"])
        assert "Authentication failed" in client.refused("projects", "get", made["project"]["id"])


def test_schema_diff(ctl, neonctl, made):
    ctl("branches", "create", "--name", "dev")
    with psycopg2.connect(connection_string(neonctl, made, "dev")) as child, child.cursor() as rows:
        rows.execute("create table only_here (n int primary key)")
    child.close()
    project = ["--project-id", made["project"]["id"]]
    diff = neonctl.run("branches", "schema-diff", "main", "dev", "--database", "neondb", *project).stdout
    assert "+CREATE TABLE public.only_here (" in diff
    assert neonctl.run("branches", "schema-diff", "main", "main", "--database", "neondb", *project).stdout.count("only_here") == 0


def test_snapshots(ctl, neonctl, made):
    uri = made["connection_uris"][0]["connection_uri"]
    connection = psycopg2.connect(uri)
    connection.autocommit = True
    connection.cursor().execute("create table t as select 1 as n")
    taken = ctl("snapshots", "create", "--branch", "main", "--name", "before")
    snapshot = taken.get("snapshot", taken)["id"]
    assert [one["name"] for one in ctl("snapshots", "list")] == ["before"]
    connection.cursor().execute("drop table t")
    connection.close()
    project = ["--project-id", made["project"]["id"]]
    neonctl.run("snapshots", "restore", snapshot, "--name", "preview", *project)
    neonctl.run("snapshots", "finalize", "preview", *project)
    with psycopg2.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("select n from t")
        assert cursor.fetchall() == [(1,)], "the same string, what was before"
    connection.close()
    neonctl.run("snapshots", "delete", snapshot, *project)
    assert ctl("snapshots", "list") == []


def test_a_folder_is_linked_to_a_project(neonctl, made):
    project = made["project"]["id"]
    neonctl.run("link", "--project-id", project, "--no-env-pull")
    neonctl.run("checkout", "main", "--no-env-pull")
    assert project in neonctl.run("status").stdout
    assert {one["name"] for one in neonctl("branches", "list")} == {"main"}


def test_tables_for_people(neonctl, made):
    """The commands print tables too, for which they look at more fields."""
    project = made["project"]["id"]
    for command in (["me"], ["orgs", "list"], ["projects", "list"], ["projects", "get", project],
                    *([*one, "--project-id", project] for one in (
                        ["branches", "list"], ["branches", "get", "main"], ["roles", "list"], ["databases", "list"],
                        ["operations", "list"], ["ip-allow", "list"]))):
        assert neonctl.run(*command).stdout.strip()


def test_what_we_do_not_offer_is_said(neonctl, made):
    assert "no such resource" in neonctl.refused("vpc", "project", "list", "--project-id", made["project"]["id"])
    assert "branch already exists" in neonctl.refused("branches", "create", "--name", "main", "--project-id",
                                                      made["project"]["id"])


def test_any_path(neonctl, made):
    assert made["project"]["id"] in neonctl.run("api", f"/projects/{made['project']['id']}").stdout
