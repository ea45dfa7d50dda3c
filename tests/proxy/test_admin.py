"""The admin view on the database "pgbouncer", the API's and the metrics' view of the same, and servers kept ready."""

import asyncio
import re
import subprocess
import time

import asyncpg
import psycopg
import psycopg2
import psycopg2.errors
import pytest

from fixtures.platform import PSQL, wait_until
from fixtures.wire import TlsWire

SHOWS = ["POOLS", "CLIENTS", "SERVERS", "STATS", "LISTS", "VERSION", "DATABASES", "CONFIG"]


def admin_string(project, pooled=True):
    return project.connection_string(pooled=pooled, database="pgbouncer")


def show(project, what):
    """Rows as dictionaries."""
    connection = psycopg2.connect(admin_string(project))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"show {what}")
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]
    finally:
        connection.close()


def pool_of(project, mode="transaction", database="neondb"):
    rows = [row for row in show(project, "pools") if (row["database"], row["pool_mode"]) == (database, mode)]
    return rows[0] if rows else None


def api_pooler(platform, project, clients=0):
    path = f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}/pooler?clients={clients}"
    return platform.api("GET", path)["pooler"]


def metrics_of(platform, project):
    text = platform.metrics()
    mine = f'endpoint="{project.endpoint()}"'
    return {line.rsplit(" ", 1)[0].replace(mine, "").replace("{,", "{").replace(",}", "}").replace("{}", ""):
            float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if mine in line}


@pytest.fixture
def clients(project):
    """Three pooled clients: two parked, one pinned by a temporary table."""
    string = project.connection_string(pooled=True)
    wires = [TlsWire(string, application_name=f"client {i}") for i in range(3)]
    for wire in wires:
        wire.query("select 1")
    wires[0].query("create temp table t (i int)")
    yield wires
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("pooled", [True, False])
def test_psql_shows_everything(project, clients, pooled):
    for what in SHOWS:
        result = subprocess.run([PSQL, "-X", admin_string(project, pooled), "-c", f"SHOW {what};"],
                                capture_output=True, text=True)
        assert result.returncode == 0 and re.search(r"\(\d+ rows?\)", result.stdout), result
    result = subprocess.run([PSQL, "-X", admin_string(project, pooled), "-c", "show help"], capture_output=True, text=True)
    assert result.returncode == 0 and "SHOW POOLS" in result.stderr, result


def test_pools_tell_who_is_parked_and_what_pins(project, clients):
    pool = wait_until(lambda: (lambda row: row if row and row["pinned"] == 1 else None)(pool_of(project)), 10, "a pin")
    assert (pool["cl_active"], pool["cl_waiting"], pool["parked"], pool["sv_active"]) == (3, 0, 2, 1), pool
    assert "temp" in pool["pinned_by"], pool
    listed = {row["application_name"]: row for row in show(project, "clients") if row["database"] == "neondb"}
    assert listed["client 0"]["state"] == "pinned" and "temp" in listed["client 0"]["pinned_by"], listed
    assert listed["client 1"]["state"] == "parked" and listed["client 1"]["link"] == "", listed
    assert listed["client 0"]["query_count"] == 2 and listed["client 0"]["tls"].startswith("TLSv1"), listed
    servers = {row["ptr"]: row for row in show(project, "servers")}
    assert servers[listed["client 0"]["link"]]["remote_pid"] == listed["client 0"]["remote_pid"] > 0
    assert sum(row["state"] == "active" for row in servers.values()) == 1
    clients[0].query("drop table t")
    wait_until(lambda: pool_of(project)["pinned"] == 0, 10, "the pin's end")


def test_who_waits_is_seen_waiting(platform, project, clients):
    clients[0].query("drop table t")
    platform.set_pooler(project, default_pool_size=1)
    holder = TlsWire(project.connection_string(pooled=True))
    holder.query("begin")
    clients[1].send(("Q", b"select 1\0"))
    pool = wait_until(lambda: (lambda row: row if row["cl_waiting"] == 1 and row["maxwait_us"] + row["maxwait"] > 0
                               else None)(pool_of(project)), 10, "one that waits")
    assert pool["pinned_by"] == "transaction: 1", pool
    holder.query("commit")
    clients[1].until_ready()
    wait_until(lambda: pool_of(project)["cl_waiting"] == 0, 10, "nobody waiting")
    assert [row["total_wait_time"] > 0 for row in show(project, "stats") if row["database"] == "neondb"] == [True]
    holder.close()


def test_stats_count_queries_and_transactions(project, clients):
    def counts():
        return next(row for row in show(project, "stats") if row["database"] == "neondb")

    before = counts()
    for _ in range(10):
        clients[1].query("select 1")
    clients[1].query("begin")
    clients[1].query("select pg_sleep(0.2)")
    clients[1].query("commit")
    after = wait_until(lambda: (lambda row: row if row["total_xact_count"] == before["total_xact_count"] + 11 else None)(
        counts()), 10, "all counted")
    assert after["total_query_count"] == before["total_query_count"] + 13
    assert after["total_query_time"] - before["total_query_time"] >= 200_000
    assert after["total_received"] > before["total_received"] and after["total_sent"] > before["total_sent"]


def test_looking_wakes_no_compute_and_keeps_none_awake(project, clients):
    clients[0].query("drop table t")
    project.suspend()
    for what in SHOWS:
        show(project, what)
    assert project.compute()["state"] == "idle"
    wait_until(lambda: pool_of(project)["sv_idle"] == 0, 10, "the end of the idle server")
    pool = pool_of(project)
    assert (pool["parked"], pool["sv_active"]) == (3, 0), pool
    assert project.compute()["state"] == "idle"


def test_an_endpoint_is_told_of_itself_only(platform, project, clients):
    other = platform.create_project("another")
    try:
        other.query("select 1")
        assert not [row for row in show(other, "clients") if row["application_name"].startswith("client")]
        assert not [row for row in show(other, "pools") if row["pool_mode"] == "transaction"]
    finally:
        other.delete()


def test_a_wrong_password_is_refused(project):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(admin_string(project), password="wrong")


def test_unknown_commands_are_errors_with_a_hint(project):
    connection = psycopg2.connect(admin_string(project))
    connection.autocommit = True
    cursor = connection.cursor()
    for command in ("show nothing", "select 1", "pause"):
        with pytest.raises(psycopg2.errors.SyntaxError) as raised:
            cursor.execute(command)
        assert raised.value.diag.message_hint == "Use SHOW HELP."
    cursor.execute("show version")
    assert "Halogen" in cursor.fetchone()[0]
    connection.close()


def test_drivers_that_begin_transactions_unasked(project):
    connection = psycopg2.connect(admin_string(project))
    with connection, connection.cursor() as cursor:
        cursor.execute("show lists")
        assert dict(cursor.fetchall())["databases"] >= 1
    connection.close()


def test_psycopg3_in_a_transaction_and_out_of_it(project, clients):
    for autocommit in (True, False):
        with psycopg.connect(admin_string(project), autocommit=autocommit) as connection:
            for binary in (False, True):
                rows = connection.cursor(binary=binary).execute("show pools", prepare=binary).fetchall()
                assert ("neondb", 3) in [(row[0], row[2]) for row in rows], rows


def test_asyncpg_prepares_and_takes_binary_numbers(project, clients):
    async def main():
        connection = await asyncpg.connect(admin_string(project))
        try:
            rows = await connection.fetch("SHOW POOLS")
            again = await connection.fetch("SHOW POOLS")
            with pytest.raises(asyncpg.PostgresSyntaxError):
                await connection.fetch("SHOW NOTHING")
            lists = await connection.fetch("SHOW LISTS")
        finally:
            await connection.close()
        return rows, again, lists

    rows, again, lists = asyncio.run(main())
    pool = next(row for row in rows if row["pool_mode"] == "transaction")
    assert pool["cl_active"] == 3 and pool["user"] and len(again) == len(rows), rows
    assert dict(map(tuple, lists))["used_clients"] == 4  # Itself, too.


def test_the_api_tells_the_same(platform, project, clients):
    pooler = wait_until(lambda: (lambda p: p if p["clients"]["pinned"] else None)(api_pooler(platform, project, 1)), 10, "a pin")
    assert pooler["clients"]["parked"] == 2 and list(pooler["pinned_by"].values()) == [1], pooler
    assert len(pooler["client_list"]) == 3 and "client_list" not in api_pooler(platform, project)
    assert pooler["wakes"] >= 1 and pooler["totals"][0]["queries"] >= 4, pooler


def test_metrics_per_endpoint_go_with_it(platform, project, clients):
    told = wait_until(lambda: (lambda m: m if m.get('halogen_pooler_clients{state="pinned"}') == 1 else None)(
        metrics_of(platform, project)), 10, "a pin")
    assert told['halogen_pooler_clients{state="parked"}'] == 2
    assert told["halogen_pooler_queries_total"] >= 4 and told["halogen_pooler_wakes_total"] >= 1
    assert told["halogen_pooler_request_seconds_count"] >= 4
    assert told['halogen_pooler_request_seconds_bucket{le="+Inf"}'] == told["halogen_pooler_request_seconds_count"]
    assert any(name.startswith("halogen_pooler_pinned{reason=") for name in told), told
    other = platform.create_project("short-lived")
    other.query("select 1")
    assert metrics_of(platform, other)["halogen_pooler_queries_total"] == 1
    endpoint = other.endpoint()
    other.delete()
    assert endpoint not in platform.metrics()


def test_servers_are_kept_ready_while_the_compute_runs(platform, project):
    platform.set_pooler(project, min_pool_size=3)
    wire = TlsWire(project.connection_string(pooled=True))
    wire.query("select 1")
    wait_until(lambda: pool_of(project)["sv_idle"] == 3, 10, "three idle servers")
    wire.query("begin")  # One of them is used: none is opened for it.
    time.sleep(1.5)
    pool = pool_of(project)
    assert (pool["sv_active"], pool["sv_idle"]) == (1, 2), pool
    wire.query("commit")
    project.suspend()
    wait_until(lambda: pool_of(project)["sv_idle"] == 0, 10, "the end of the idle servers")
    time.sleep(1.5)
    assert project.compute()["state"] == "idle"  # It was not woken for them.
    wire.query("select 1")
    wait_until(lambda: pool_of(project)["sv_idle"] == 3, 30, "three idle servers again")
    wire.close()


def test_servers_kept_ready_keep_no_compute_awake(platform, project):
    platform.set_pooler(project, min_pool_size=2)
    platform.patch_endpoint(project, suspend_timeout_seconds=3)
    wire = TlsWire(project.connection_string(pooled=True))
    wire.query("select 1")
    wait_until(lambda: project.compute()["state"] == "idle", 30, "the suspend")
    wire.close()
