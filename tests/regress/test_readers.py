"""Read-only endpoints: several of a branch, each at its branch's head as of its start."""

import psycopg2
import pytest


def at_endpoint(project, endpoint):
    writer = project.endpoint()
    return psycopg2.connect(project.connection_string().replace(writer, endpoint["id"]))


def rows(connection, sql):
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_readers_see_their_branch_as_it_was_when_they_started(platform, project):
    branch = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"][0]["id"]
    project.query("create table t as select 1 as n")
    first, second = (project.add_endpoint(branch, type="read_only") for _ in range(2))
    assert first["type"] == "read_only" and first["id"] != second["id"]
    one = at_endpoint(project, first)
    assert rows(one, "select n from t") == [(1,)]
    project.query("insert into t values (2)")
    two = at_endpoint(project, second)
    assert rows(two, "select n from t order by n") == [(1,), (2,)]
    assert rows(one, "select n from t") == [(1,)]
    for statement in ("insert into t values (3)", "set default_transaction_read_only = off; insert into t values (3)",
                      "create table u (n int)"):
        with pytest.raises(psycopg2.Error, match="read-only|read only"):
            rows(one, statement)
    path = f"/api/v2/projects/{project.id}/endpoints/{first['id']}"
    platform.api("POST", path + "/restart", {})
    assert rows(one, "select n from t order by n") == [(1,), (2,)], "from its next start on it sees what there is then"
    one.close()
    two.close()
    assert project.query("select count(*) from t") == [(2,)]
    platform.api("DELETE", path, status=200)
    left = platform.api("GET", f"/api/v2/projects/{project.id}/branches/{branch}/endpoints")["endpoints"]
    assert {one["id"] for one in left} == {project.endpoint(), second["id"]}


def test_what_readers_read_goes_with_them(own_platform):
    timelines = own_platform.home / "pageserver/timelines"
    project = own_platform.create_project()
    before = len(list(timelines.iterdir()))
    project.query("create table t as select 1 as n")
    made = own_platform.api("POST", f"/api/v2/projects/{project.id}/branches",
                            {"branch": {"name": "dev"}, "endpoints": [{"type": "read_write"}, {"type": "read_only"},
                                                                      {"type": "read_only"}]}, status=201)
    readers = [one for one in made["endpoints"] if one["type"] == "read_only"]
    assert len(readers) == 2
    for reader in readers:
        at_endpoint(project, reader).close()
    assert len(list(timelines.iterdir())) == before + 3
    own_platform.kill()
    own_platform.up()
    connection = at_endpoint(project, readers[0])
    assert rows(connection, "select n from t") == [(1,)]
    connection.close()
    own_platform.api("DELETE", f"/api/v2/projects/{project.id}/branches/{made['branch']['id']}", status=200)
    assert len(list(timelines.iterdir())) == before
    own_platform.check_storage()
