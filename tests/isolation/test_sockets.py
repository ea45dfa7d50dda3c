"""No socket of the platform trusts its peer because it could open a path."""

import contextlib
import re
import shutil
from pathlib import Path

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


def read_as_a_stranger(sockets, token, lsn, tag):
    """Inside a compute: a page of the page service by a token in hex; the part of it that is text."""
    import os
    import socket
    import struct

    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(next(path for path in sockets if os.path.exists(path)))
    connection.sendall(struct.pack("<II32s", 0x53504748, 1, bytes.fromhex(token)))
    if struct.unpack("<II", connection.recv(8, socket.MSG_WAITALL))[1] != 0:
        return None
    spc, db, rel = tag
    connection.sendall(struct.pack("<QQII", 1, lsn, 10_000, 1) + struct.pack("<BBHIIIII", 0, 0, 0, spc, db, rel, 0, 1))
    _, status, size = struct.unpack("<QII", connection.recv(16, socket.MSG_WAITALL))
    return connection.recv(size, socket.MSG_WAITALL).decode("ascii", "ignore") if status == 0 else None


def page_sockets(platform):
    """Where a compute sees it: in a room, and without one."""
    run = Path(platform.status()["wal_host"]).parent
    return ["/pages/pages", str(run / "pageserver" / "pages")]


def refused(platform, service):
    return float(re.search(rf"^halogen_{service}_refused_connections_total (\S+)", platform.api("GET", "/metrics", raw=True).decode(), re.M)[1])


def read_victims_page(platform):
    victim = platform.victim
    victim.query("DROP TABLE IF EXISTS diary; CREATE TABLE diary AS SELECT 'dear diary' AS line")
    path, lsn = victim.query("SELECT pg_relation_filepath('diary'), pg_current_wal_flush_lsn() - '0/0'")[0]
    _, db, rel = path.split("/")
    token = victim.compute()["timeline"] + "0" * 32
    page = inside.call(platform.project, read_as_a_stranger, page_sockets(platform), token, int(lsn), [1663, int(db), int(rel)])
    return page if page and "dear diary" in page else None


def test_a_timelines_id_reads_none_of_its_pages(guarded, unguarded):
    before = refused(guarded, "pageserver")
    assert read_victims_page(guarded) is None
    assert refused(guarded, "pageserver") == before + 1
    assert read_victims_page(unguarded("storage_tokens")) is not None


def read_victims_wal(platform):
    """What the safekeeper says of the victim's WAL to a program inside the attacker's compute."""
    status = platform.status()
    timeline = platform.victim.compute()["timeline"]
    target = f"host={status['wal_host']} port={status['wal_port']} user={timeline} password={timeline} replication=true"
    code, output = inside.run(platform.project, f"psql -X '{target}' -Atc IDENTIFY_SYSTEM")
    return output.strip() if code == 0 else None


def test_a_timelines_id_reads_none_of_its_wal(guarded, unguarded):
    """In a room the socket is not even there; so also without rooms."""
    assert read_victims_wal(guarded) is None
    before = refused(unguarded("rooms"), "safekeeper")
    assert read_victims_wal(unguarded("rooms")) is None
    assert refused(unguarded("rooms"), "safekeeper") == before + 1
    assert re.match(r"\d+\|1\|", read_victims_wal(unguarded("rooms", "storage_tokens")))


def begin_to_flood(sockets):
    """Inside a compute: starts a program that makes connections for ten seconds and says nothing."""
    import os
    import subprocess
    import sys

    path = next(path for path in sockets if os.path.exists(path))
    program = f"""
import socket, time
held, until = [], time.monotonic() + 10
while time.monotonic() < until:
    try:
        held.append(socket.socket(socket.AF_UNIX)); held[-1].connect({path!r})
    except OSError:
        held = held[len(held) // 2:]
"""
    subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    return True


def test_connections_that_say_nothing_keep_no_other_compute_from_its_pages(guarded):
    victim = guarded.victim
    victim.query("DROP TABLE IF EXISTS long; CREATE TABLE long AS SELECT g, repeat('x', 500) FROM generate_series(1, 20000) g")
    victim.suspend()
    shutil.rmtree(victim.compute()["data_directory"])
    assert inside.call(guarded.project, begin_to_flood, page_sockets(guarded))
    assert victim.query("SELECT count(*) FROM long") == [(20000,)]
