"""What users do at the console, in a real browser on a real platform."""

import contextlib
import gzip
import json
import math
import re
import sqlite3
import subprocess
import threading
import time
import urllib.request

import psycopg2

from console.snippets import run_snippets
from fixtures.platform import ROOT, Project, wait_until

MOST_INITIAL_SCRIPT = 300 * 1024  # Compressed.


def get(platform, path):
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http_port}{path}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        data = answer.read()
        return answer.headers, gzip.decompress(data) if answer.headers.get("Content-Encoding") == "gzip" else data, len(data)


def test_what_is_loaded_first_is_small_kept_and_without_inline_scripts(platform):
    headers, page, _ = get(platform, "/projects/any")
    page = page.decode()
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    scripts = re.findall(r'(?:src|href)="(/[^"]+\.js)"', page)
    sizes = 0
    for script in scripts:
        headers, _, size = get(platform, script)
        assert headers["Content-Encoding"] == "gzip"
        if script.startswith("/assets/"):
            assert "immutable" in headers["Cache-Control"]
        sizes += size
    assert 50_000 < sizes < MOST_INITIAL_SCRIPT


def test_signing_in_and_out(platform, drive):
    drive("sign_in", CONSOLE_LINK=platform.cli("console").strip(), API_KEY=platform.api_key())


def test_a_newcomer_connects_an_application(platform, drive):
    """Needs no documentation; and each snippet runs as it stands."""
    snippets = json.loads(drive("newcomer", CONSOLE_LINK=platform.cli("console").strip()).strip().splitlines()[-1])
    run_snippets(platform, snippets)
    newcomer = next(one for one in platform.api("GET", "/api/v2/projects?limit=400")["projects"] if one["name"] == "newcomer")
    drive("deletion", Project(platform, newcomer["id"]))


def ledger(project):
    """A table of three rows, what comes after it, and the moment between: of both an LSN and a time of the browser's zone."""
    project.query("CREATE TABLE ledger (amount int)")
    project.query("INSERT INTO ledger VALUES (1), (2), (3)")
    lsn, time = project.query("SELECT pg_current_wal_insert_lsn(), to_char(now() AT TIME ZONE 'UTC' + interval '1 second', "
                              "'YYYY-MM-DD\"T\"HH24:MI:SS')")[0]
    wait_until(lambda: project.query("SELECT now() > %s::timestamptz + interval '1 second'", time + "Z")[0][0], what="the next second")
    project.query("CREATE TABLE later (id int)")
    project.query("INSERT INTO ledger VALUES (4)")
    return {"LSN_BEFORE": lsn, "TIME_BEFORE": time}


def test_branches_restore_roles_and_settings(drive, project):
    drive("branches", project, **ledger(project))
    assert project.query("SELECT count(*) FROM ledger") == [(3,)]
    assert project.query("SELECT count(*) FROM ledger", branch="kept") == [(4,)]


def test_the_sql_editor(drive, project):
    moment = ledger(project)
    project.suspend()
    drive("sql", project, **moment)


def test_tables_are_browsed_and_edited(drive, project):
    project.query("CREATE TABLE stock (id int PRIMARY KEY, name text, price numeric DEFAULT 1 CHECK (price >= 0))")
    project.query("CREATE INDEX stock_by_name ON stock (name)")
    project.query("INSERT INTO stock SELECT i, 'thing ' || i FROM generate_series(1, 250) i")
    project.query("CREATE VIEW cheap AS SELECT * FROM stock WHERE price < 2")
    project.query("CREATE TABLE keyless (a int)")
    drive("tables", project, STRING=project.connection_string())
    assert project.query("SELECT id, name, price FROM stock WHERE id IN (24, 240, 241, 249, 1000) ORDER BY id") == [
        (240, "thing 240", 1), (241, "theirs", 1), (249, "it's new", 1), (1000, None, 1)]


def test_sessions_are_seen_cancelled_and_ended(drive, project):
    def sleep():
        with contextlib.closing(project.connect(application_name="busy bee")) as connection, connection.cursor() as cursor:
            for seconds in (60, 61):
                try:
                    cursor.execute("SELECT pg_sleep(%s)", (seconds,))
                except psycopg2.Error as error:
                    ends.append(error.pgcode)

    ends = []
    bee = threading.Thread(target=sleep)
    bee.start()
    drive("monitoring", project)
    bee.join()
    assert ends == ["57014", "57P01"]


def test_snapshots_are_taken_restored_and_scheduled(drive, project):
    drive("snapshots", project, LSN_BEFORE=ledger(project)["LSN_BEFORE"])
    assert project.query("SELECT count(*) FROM ledger") == [(3,)]
    branches = {one["name"]: one["id"] for one in project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]}
    project.add_endpoint(branches["before"])
    assert project.query("SELECT count(*) FROM ledger", branch="before") == [(4,)]
    assert project.query("SELECT count(*) FROM ledger", branch="then") == [(3,)]
    (schedule,) = [one for one in schedules(project) if one]
    assert schedule == [{"frequency": "weekly", "hour": 4, "day": 7, "retention_seconds": 7 * 86400}]


def schedules(project):
    base = f"/api/v2/projects/{project.id}/branches"
    for branch in project.platform.api("GET", base)["branches"]:
        yield project.platform.api("GET", f"{base}/{branch['id']}/backup_schedule")["schedule"]


def test_a_read_replica_is_made_used_and_deleted(drive, project):
    project.query("CREATE TABLE ledger (amount int)")
    project.query("INSERT INTO ledger VALUES (1), (2)")
    string = drive("computes", project).strip().splitlines()[-1]
    with contextlib.closing(psycopg2.connect(string)) as replica, replica.cursor() as cursor:
        cursor.execute("SELECT sum(amount) FROM ledger")
        assert cursor.fetchone() == (3,)
        try:
            cursor.execute("INSERT INTO ledger VALUES (3)")
            raise AssertionError("a read replica has written")
        except psycopg2.errors.ReadOnlySqlTransaction:
            pass
    drive("replica_deletion", project)
    try:
        psycopg2.connect(string)
        raise AssertionError("a deleted replica lets in")
    except psycopg2.OperationalError as refused:
        assert "authentication failed" in str(refused)


def test_what_is_wrong_is_said_and_passes(drive, project):
    drive("errors", project)


def test_on_a_phone(drive, project):
    project.query("CREATE TABLE orders (id int PRIMARY KEY, item text)")
    project.query("INSERT INTO orders VALUES (1, 'lamp'), (2, 'desk')")
    drive("phone", project)


def test_the_types_are_those_of_the_document(platform, tmp_path):
    """`npm run types` in web/ makes them anew."""
    document, types = tmp_path / "openapi.json", tmp_path / "openapi.d.ts"
    document.write_bytes(get(platform, "/api/v2/openapi.json")[1])
    subprocess.run([ROOT / "web/node_modules/.bin/openapi-typescript", document, "-o", types], check=True, capture_output=True)
    assert types.read_text() == (ROOT / "web/src/api/openapi.d.ts").read_text(), "the API has changed: cd web && npm run types"


def put_samples(platform, endpoint):
    """An hour of a compute's life, with a sleep in it: what the charts are drawn of."""
    now = int(time.time())
    values = {"active_us": 30_000_000, "cpu_us": 9_000_000, "queries": 900, "transactions": 450, "request_us": 2_700_000, "wait_us": 90_000,
              "received": 90_000, "sent": 600_000, "wal_bytes": 300_000, "wakes": 0, "blocks_hit": 9000, "blocks_read": 1000,
              "memory_bytes": 80 << 20, "active_clients": 2, "waiting_clients": 0, "idle_clients": 6, "pinned_clients": 1, "servers": 3,
              "logical_bytes": 32 << 20, "own_bytes": 4 << 20}
    with contextlib.closing(sqlite3.connect(platform.home / "metrics.db")) as database, database:
        for i in range(120):
            if not 40 <= i < 70:
                swing = 1 + 0.5 * math.sin(i / 7)
                row = {name: value if name.startswith("blocks") else int(value * swing) for name, value in values.items()}
                row |= {"endpoint": endpoint, "tier": 30, "at": now - 30 * (119 - i), "seconds": 30, "active_us": 30_000_000}
                database.execute(f"INSERT INTO samples ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def test_every_page_in_both_themes_and_on_a_phone(platform, drive, project):
    project.query("CREATE TABLE orders (id int PRIMARY KEY, item text)")
    put_samples(platform, project.endpoint())
    drive("pages", project)


