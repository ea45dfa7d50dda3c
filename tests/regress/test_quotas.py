"""Quotas of a project are enforced, and end when they are raised."""

import contextlib
import io

import psycopg2
import psycopg2.errors
import pytest

from fixtures.platform import wait_until

MB = 1 << 20


@pytest.fixture
def quota(platform, project):
    """Called with limits: the project's from now on."""
    def quota(**limits):
        platform.api("PATCH", f"/api/v2/projects/{project.id}", {"project": {"settings": {"quota": limits}}})
    return quota


def refusal(project, pooled=False):
    """What a client is told that connects and asks; None if it is served."""
    try:
        with contextlib.closing(project.connect(pooled=pooled)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.OperationalError as error:
        return str(error)


@pytest.mark.parametrize("name, words", [("written_data_bytes", "written data"), ("active_time_seconds", "active time"),
                                         ("data_transfer_bytes", "data transfer")])
def test_who_has_used_all_is_suspended_and_not_started(platform, project, quota, name, words):
    # The limit comes after the use: what is used is looked at any moment.
    project.query("CREATE TABLE t AS SELECT generate_series(1, 10000) a")
    project.query("SELECT a FROM t")
    quota(**{name: 1})
    endpoint = f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}"
    wait_until(lambda: platform.api("GET", endpoint)["endpoint"]["current_state"] == "idle", what="the suspend")
    for pooled in (False, True):
        assert f"exceeded its quota of {words}: raise settings.quota.{name}" in refusal(project, pooled)
    assert words in platform.api("POST", f"{endpoint}/start", status=422)["message"]
    # By the API's own work neither.
    branch = platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"][0]["id"]
    answer = platform.api("POST", f"/api/v2/projects/{project.id}/branches/{branch}/roles", {"role": {"name": "app"}}, status=422)
    assert words in answer["message"]
    platform.down()
    platform.up()
    assert words in refusal(project)
    quota(**{name: 0})
    assert refusal(project) is None
    assert platform.api("GET", f"/api/v2/projects/{project.id}")["project"]["settings"]["quota"] == {name: 0}


def test_a_branch_that_is_too_large_can_only_be_made_smaller(platform, project, quota):
    # A new database has about 7 MB, and there are three.
    quota(logical_size_bytes=40 * MB)
    fill = "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, {}) i"
    with contextlib.closing(project.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int, b text)")
        cursor.execute(fill.format(1000))
        # A single statement does not write on without end.
        with pytest.raises((psycopg2.errors.DiskFull, psycopg2.errors.QueryCanceled)):
            for _ in range(10_000):
                cursor.execute(fill.format(1_000_000))

        def refused():
            for sql in (fill.format(1), "UPDATE t SET b = 'y'", "CREATE TABLE more AS SELECT 1", "WITH w AS (INSERT INTO t VALUES (1) RETURNING 1) SELECT * FROM w",
                        "SELECT lo_from_bytea(0, 'x')", "DO $$ BEGIN INSERT INTO t VALUES (1); END $$"):
                with pytest.raises(psycopg2.errors.DiskFull, match=r"size limit \(40 MB\) has been exceeded") as raised:
                    cursor.execute(sql)
                assert "logical_size_bytes" in raised.value.diag.message_hint
            with pytest.raises(psycopg2.errors.DiskFull):
                cursor.copy_expert("COPY t FROM STDIN", file=io.StringIO("1\tx\n"))

        refused()
        # Also right after a wake.
        project.suspend()
        refused()
        cursor.execute("SELECT count(*) > 0 FROM t; DELETE FROM t WHERE a = 1; TRUNCATE t")

        def writes():
            try:
                cursor.execute(fill.format(1))
                return True
            except psycopg2.errors.DiskFull:
                return False

        wait_until(writes, what="leave to write")
