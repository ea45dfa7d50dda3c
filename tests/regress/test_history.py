"""Branches, restores and resets at moments of the past: what a user gets is what was committed then, no less and no more."""

import contextlib
import json
import urllib.error
from datetime import datetime, timedelta, timezone

import psycopg2
import pytest

from fixtures.platform import Platform, wait_until
from fixtures.replay import Pages, compare_pages, take_pages

FORGETFUL = ("--history-interval-ms", "100", "--layer-kb", "64", "--merge-files", "2")


class Moments:
    """Commits one row after another and notes, after each, the time and the end of the log."""

    def __init__(self, project, branch=None):
        self.project, self.branch = project, branch
        self.times, self.lsns = {}, {}

    def commit(self, *rows):
        with contextlib.closing(self.project.connect(self.branch)) as connection, connection.cursor() as cursor:
            cursor.execute("create table if not exists t (i int)")
            for i in rows:
                cursor.execute("insert into t values (%s)", (i,))
                cursor.execute("select clock_timestamp(), pg_current_wal_insert_lsn()::text")
                self.times[i], self.lsns[i] = cursor.fetchone()
        return self


def rows(project, branch=None):
    return [i for (i,) in project.query("select i from t order by i", branch=branch)]


def branches(project):
    listed = project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
    return {branch["name"]: branch for branch in listed}


def create_at(project, name, at, parent=None):
    arguments = ["--parent", parent] if parent else []
    at = at.isoformat() if isinstance(at, datetime) else at
    answer = project.platform.cli("branches", "create", "--project", project.id, "--name", name, "--at", at, "--json", *arguments)
    return json.loads(answer)["branch"]


def restore(project, branch, *arguments, at=None):
    arguments += ("--at", at.isoformat() if isinstance(at, datetime) else at) if at else ()
    project.platform.cli("branches", "restore", branch, "--project", project.id, *arguments)


def refusal(project, path, body):
    """The status and the message of a request that must fail."""
    with pytest.raises(urllib.error.HTTPError) as error:
        project.platform.api("POST", f"/api/v2/projects/{project.id}/branches{path}", body)
    return error.value.code, json.loads(error.value.read())["message"]


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def test_a_branch_at_a_time_or_an_lsn_has_what_was_committed_then(project):
    made = Moments(project).commit(1, 2, 3, 4)
    project.query("drop table t")
    for i in (1, 3, 4):
        at_time = create_at(project, f"time-{i}", made.times[i])
        assert datetime.fromisoformat(at_time["parent_timestamp"]) <= made.times[i]
        at_lsn = create_at(project, f"lsn-{i}", made.lsns[i])
        assert at_lsn["parent_lsn"] == at_time["parent_lsn"], "the end of the same commit"
        assert lsn(at_lsn["parent_lsn"]) <= lsn(made.lsns[i])
        assert at_lsn["parent_timestamp"] == at_time["parent_timestamp"]
    assert rows(project, "time-1") == rows(project, "lsn-1") == [1]
    assert rows(project, "lsn-3") == [1, 2, 3]
    assert rows(project, "time-4") == [1, 2, 3, 4]
    project.query("insert into t values (100)", branch="time-1")
    project.suspend("time-1")
    assert rows(project, "time-1") == [1, 100], "it goes on by itself"


def test_what_is_open_at_the_moment_is_not_in_the_branch(project):
    Moments(project).commit(1)
    with contextlib.closing(project.connect()) as open_transaction, open_transaction.cursor() as cursor:
        cursor.execute("begin; insert into t values (50)")
        made = Moments(project).commit(2)
        cursor.execute("commit")
    create_at(project, "before", made.times[2])
    assert rows(project, "before") == [1, 2]
    assert rows(project) == [1, 2, 50]


def test_a_branch_of_a_branch_reaches_below_the_branch_point(project):
    made = Moments(project).commit(1, 2, 3)
    project.create_branch("dev")
    in_dev = Moments(project, "dev").commit(10, 11)
    made.commit(4)
    create_at(project, "early", made.times[2], parent="dev")
    create_at(project, "late", in_dev.lsns[10], parent="dev")
    assert rows(project, "early") == [1, 2]
    assert rows(project, "late") == [1, 2, 3, 10]
    create_at(project, "earliest", made.lsns[1], parent="early")
    assert rows(project, "earliest") == [1]
    done = project.platform.cli("branches", "delete", "dev", "--project", project.id, check=False)
    assert done.returncode != 0 and "has children" in done.stderr
    for name in ("earliest", "early", "late", "dev"):
        project.platform.cli("branches", "delete", name, "--project", project.id)


def test_a_moment_that_is_not_in_history_is_refused_by_name(project):
    Moments(project).commit(1)
    created = project.platform.api("GET", f"/api/v2/projects/{project.id}")["project"]["created_at"]
    create = lambda **moment: refusal(project, "", {"branch": moment})
    future = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()
    assert create(parent_timestamp=future)[0] == 400
    assert "is in the future" in create(parent_timestamp=future)[1]
    code, message = create(parent_timestamp="2020-01-01T00:00:00Z")
    assert code == 410 and f"history begins at {created[:-1]}" in message
    code, message = create(parent_lsn="0/100")
    assert code == 410 and "history begins at 0/" in message
    code, message = create(parent_lsn="FF/0")
    assert code == 400 and "is beyond the head of branch main, which is at 0/" in message
    assert create(parent_timestamp="yesterday")[0] == create(parent_lsn="x")[0] == 400
    assert create(parent_lsn="0/100", parent_timestamp="2020-01-01T00:00:00Z")[0] == 400


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_connections_survive_a_restore_and_a_reset(project, pooled):
    made = Moments(project).commit(1, 2, 3)
    project.create_branch("dev")
    with contextlib.closing(project.connect("dev", pooled=pooled)) as connection, connection.cursor() as cursor:
        cursor.execute("set work_mem = '7MB'; prepare p as select array_agg(i order by i) from t")
        cursor.execute("delete from t")
        restore(project, "dev", "--keep-as", "emptied", at=made.times[2])
        cursor.execute("execute p")
        assert cursor.fetchone() == ([1, 2],)
        cursor.execute("show work_mem")
        assert cursor.fetchone() == ("7MB",)
        cursor.execute("insert into t values (20)")
        made.commit(4)
        restore(project, "dev", "--from", "main", "--keep-as", "twice")
        cursor.execute("execute p")
        assert cursor.fetchone() == ([1, 2, 3, 4],)
    assert rows(project, "emptied") == []
    assert rows(project, "twice") == [1, 2, 20]


def test_a_restore_keeps_the_old_state_and_its_children_under_a_name(project):
    made = Moments(project).commit(1, 2, 3)
    project.create_branch("child")
    main = branches(project)["main"]
    status = refusal(project, f"/{main['id']}/restore", {"source_branch_id": main["id"]})
    assert status[0] == 400 and "required" in status[1]
    other = {"source_branch_id": branches(project)["child"]["id"]}
    assert refusal(project, f"/{main['id']}/restore", other) == (422, "Branch has children, preserve_under_name is required")
    taken = {"source_branch_id": main["id"], "source_lsn": made.lsns[1], "preserve_under_name": "child"}
    assert refusal(project, f"/{main['id']}/restore", taken)[0] == 409
    host = project.endpoint()

    body = {"source_branch_id": main["id"], "source_timestamp": made.times[1].isoformat(), "preserve_under_name": "old"}
    answer = project.platform.api("POST", f"/api/v2/projects/{project.id}/branches/{main['id']}/restore", body)["branch"]
    now = branches(project)
    assert answer == now["main"]
    assert answer["id"] == main["id"] and answer["default"] and answer["parent_id"] == now["old"]["id"]
    assert "last_reset_at" in answer and "parent_id" not in now["old"] and not now["old"]["default"]
    assert now["child"]["parent_id"] == now["old"]["id"]
    assert project.endpoint() == host
    assert rows(project) == [1]
    project.add_endpoint(now["old"]["id"])
    assert rows(project, "old") == rows(project, "child") == [1, 2, 3]
    restore(project, "main", "--from", "old", "--keep-as", "undone")
    assert rows(project) == [1, 2, 3], "what a restore left can be had again"


def test_a_reset_leaves_nothing_of_the_old_state(project):
    Moments(project).commit(1)
    timelines = project.platform.home / "pageserver/timelines"
    project.create_branch("dev")
    before = {folder.name for folder in timelines.iterdir()}
    Moments(project, "dev").commit(10)
    Moments(project).commit(2)
    project.platform.cli("branches", "reset", "dev", "--project", project.id)
    assert rows(project, "dev") == [1, 2]
    assert branches(project)["dev"]["parent_id"] == branches(project)["main"]["id"]
    after = {folder.name for folder in timelines.iterdir()}
    assert len(after) == len(before) and after != before, "the old timeline is deleted"
    done = project.platform.cli("branches", "reset", "main", "--project", project.id, check=False)
    assert done.returncode != 0 and "has no parent" in done.stderr


def test_roles_and_passwords_are_those_of_the_moment(project):
    made = Moments(project).commit(1)
    project.query("create role app login password 'first'; grant select on t to app")
    made.commit(2)
    project.query("alter role app password 'second'")
    project.query("create role later login password 'later'")
    create_at(project, "then", made.times[2])

    def login(branch, role, password):
        parts = psycopg2.extensions.parse_dsn(project.connection_string(branch))
        with contextlib.closing(psycopg2.connect(**{**parts, "user": role, "password": password})) as connection:
            with connection.cursor() as cursor:
                cursor.execute("select count(*) from t")
                return cursor.fetchone()[0]

    assert login("then", "app", "first") == 2
    for role, password in (("app", "second"), ("later", "later")):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            login("then", role, password)
    restore(project, "main", at=made.times[2])
    assert login("main", "app", "first") == 2
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        login("main", "app", "second")


def test_a_password_of_ours_is_told_only_where_it_is_good(project):
    made = Moments(project).commit(1)
    given = project.connection_string()
    project.query("alter role neondb_owner password 'mine'")
    create_at(project, "then", made.times[1])
    told = psycopg2.extensions.parse_dsn(project.connection_string("then"))
    assert "password" not in told, "whether ours was good then is not known yet"
    ours = psycopg2.extensions.parse_dsn(given)["password"]
    with contextlib.closing(psycopg2.connect(**{**told, "password": ours})):
        assert psycopg2.extensions.parse_dsn(project.connection_string("then"))["password"] == ours


def test_a_session_of_a_role_that_was_not_there_then_ends(project):
    made = Moments(project).commit(1)
    project.query("create role late login password 'late'")
    parts = psycopg2.extensions.parse_dsn(project.connection_string())
    with contextlib.closing(psycopg2.connect(**{**parts, "user": "late", "password": "late"})) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            restore(project, "main", at=made.times[1])
            with pytest.raises(psycopg2.Error):
                cursor.execute("select 1")


def test_an_ordinary_string_looks_at_the_past_read_only(project):
    made = Moments(project).commit(1, 2, 3)
    parts = psycopg2.extensions.parse_dsn(project.connection_string())

    def look(moment, **changes):
        connection = psycopg2.connect(**{**parts, "options": moment, **changes})
        connection.autocommit = True
        return contextlib.closing(connection)

    by_branch = parts["host"].replace(project.endpoint(), branches(project)["main"]["id"])
    pooled = parts["host"].replace(project.endpoint(), project.endpoint() + "-pooler")
    for moment, host, expected in ((f"neon_lsn:{made.lsns[2]}", parts["host"], [1, 2]),
                                   (f"neon_timestamp:{made.times[2].isoformat()}", pooled, [1, 2]),
                                   (f"neon_timestamp:{made.times[1].isoformat()}", by_branch, [1])):
        with look(moment, host=host) as connection, connection.cursor() as cursor:
            cursor.execute("select array_agg(i order by i) from t")
            assert cursor.fetchone() == (expected,)
            for attempt in ("insert into t values (4)", "set default_transaction_read_only = off; insert into t values (4)",
                            "begin read write; delete from t; commit", "create table u (i int)", "create temp table u (i int)",
                            "select * from t for update", "do $$ begin insert into t values (4); end $$"):
                with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                    cursor.execute(attempt)
                cursor.execute("rollback")
    assert list(branches(project)) == ["main"]
    assert rows(project) == [1, 2, 3]
    with pytest.raises(psycopg2.OperationalError, match="history begins at"):
        look("neon_lsn:0/100")
    with pytest.raises(psycopg2.OperationalError, match="must be neon_lsn:<LSN>"):
        look("neon_lsn:nonsense")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        look(f"neon_lsn:{made.lsns[2]}", password="wrong")


def test_pages_of_a_branch_in_the_past_are_as_postgres_had_them(project, platform):
    platform.set_pg_setting(project, "autovacuum", "off")
    project.suspend()
    project.query("create table big as select i, md5(i::text) m from generate_series(1, 20000) i; create index on big (m)")
    with contextlib.closing(project.superuser("neondb")) as connection, connection.cursor() as cursor:
        saved = take_pages(project, cursor, "public")
    project.query("update big set m = m || 'x' where i % 3 = 0; delete from big where i % 5 = 0")
    project.query("vacuum full big")
    at = create_at(project, "then", saved.lsn)
    project.wake("then")
    pages = Pages(project.compute("then")["timeline"], at["parent_lsn"])
    pages.forks = saved.forks
    with contextlib.closing(project.superuser("neondb", "then")) as connection, connection.cursor() as cursor:
        assert compare_pages(platform, cursor, pages) > 200
    assert project.query("select count(*), sum(length(m)) from big", branch="then") == [(20000, 640000)]


@pytest.fixture
def forgetful_platform():
    """It forgets history as soon as it may."""
    with Platform.create("forgetful", *FORGETFUL) as platform:
        with platform.watch_log():
            yield platform


def test_what_is_older_than_the_window_is_refused_with_the_earliest_moment(forgetful_platform):
    platform = forgetful_platform
    project = platform.create_project()
    made = Moments(project).commit(1, 2)
    create_at(project, "kept", made.lsns[1])
    assert rows(project, "kept") == [1]
    platform.cli("projects", "update", project.id, "--history", "0")
    project.query("create table bulk as select repeat('x', 500) s from generate_series(1, 5000)")
    made.commit(3)

    def oldest():
        branch = branches(project)["main"]
        storage = platform.api("GET", f"/api/v2/projects/{project.id}/branches/{branch['id']}")["branch"]["storage"]
        return lsn(storage["oldest_lsn"])

    wait_until(lambda: oldest() > lsn(made.lsns[2]), seconds=30, what="the horizon")
    status, message = refusal(project, "", {"branch": {"parent_lsn": made.lsns[1]}})
    assert status == 410 and "history begins at " in message, message
    status, message = refusal(project, "", {"branch": {"parent_timestamp": made.times[1].isoformat()}})
    assert status == 410 and "history begins at " in message, message
    failed = platform.cli("branches", "create", "--project", project.id, "--name", "late", "--at", made.lsns[1], check=False)
    assert failed.returncode != 0 and "history begins at " in failed.stderr
    with pytest.raises(psycopg2.OperationalError, match="history begins at "):
        project.connect(options=f"neon_lsn:{made.lsns[1]}")

    project.suspend()
    assert rows(project) == [1, 2, 3], "what is there now needs no history"
    assert rows(project, "kept") == [1], "a branch keeps what it needs"

    def branch_from_earliest():
        """The horizon may move on in between."""
        earliest = refusal(project, "", {"branch": {"parent_lsn": made.lsns[1]}})[1].split()[3]
        arguments = ("branches", "create", "--project", project.id, "--name", "earliest", "--at", earliest)
        return platform.cli(*arguments, check=False).returncode == 0

    wait_until(branch_from_earliest, seconds=30, what="a branch at the earliest moment")
    assert rows(project, "earliest") in ([1, 2], [1, 2, 3])
    sizes = {entry["name"]: entry for entry in platform.api("GET", "/status")["storage"] if entry["project"] == project.id}
    assert sizes["kept"]["shared_bytes"] > sizes["kept"]["own_bytes"]
    assert "OF IT HISTORY" in platform.cli("status")
