"""No secret in logs, arguments, environments or the catalog's files; no line of a log that a client wrote; private files."""

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from fixtures.platform import BIN


def password_of(string):
    return re.match(r"postgresql://[^:]+:([^@]+)@", string).group(1)


# --- where a secret could be ---------------------------------------------------------------------


def processes(platform):
    """The platform, what it started, and what they started."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It has ended.
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    found = {platform.pid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def traces(platform, more_processes=()):
    """(place, bytes) of everything in which nobody may find a secret."""
    for path in platform.home.rglob("*"):
        if re.search(r"\.log(\.1)?$|/catalog\.db[^/]*$|/platform\.json$", str(path)) and path.is_file():
            yield str(path), path.read_bytes()
    for pid in processes(platform) | set(more_processes):
        for part in ("cmdline", "environ"):
            with contextlib.suppress(OSError):  # It has ended; or it lets nobody look, which is as good.
                yield f"{part} of {pid}", Path(f"/proc/{pid}/{part}").read_bytes()


def leaks(platform, secrets, more_processes=()):
    return {(what, place) for place, text in traces(platform, more_processes)
            for what, secret in secrets.items() if secret.encode() in text}


@contextlib.contextmanager
def psql(project, *arguments):
    """`halogen psql`, once it has answered."""
    command = [BIN, "psql", "--project", project.id, *arguments, "--", "-At"]
    with subprocess.Popen(command, env=project.platform.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write("SELECT current_user || ' is here';\n")
        process.stdin.flush()
        assert process.stdout.readline() == "neondb_owner is here\n"
        yield process
        process.stdin.close()


def live(platform):
    """What a platform does in a day; returns the secrets that it has met."""
    project = platform.create_project("day")
    secrets = {"password": password_of(project.connection_string()), "API key": platform.api_key(),
               "wrong password": "wrongButNearlyRight", "new password": "theOneAfterTheReset"}
    for line in (platform.home / "catalog.keys").read_text().splitlines():
        if not line.startswith("#"):
            secrets["catalog key"] = line.split()[1]
    for password in (secrets["wrong password"], f"endpoint={project.endpoint()};{secrets['wrong password']}"):
        with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
            project.connect(password=password)
    project.suspend()
    project.query("SELECT 1")
    login = platform.api("GET", f"/internal/endpoints/{project.endpoint()}/login")
    secrets["login secret"] = login["options"].rpartition("=")[2]
    project.create_branch("dev")
    project.query(f"ALTER ROLE neondb_owner PASSWORD '{secrets['new password']}'")
    return project, secrets


@pytest.fixture(scope="module")
def day(guarded):
    return live(guarded)


def test_a_days_secrets_leave_no_trace(guarded, day):
    project, secrets = day
    with psql(project, "--branch", "dev") as process:
        with_password = {**secrets, "psql's": password_of(project.connection_string("dev"))}
        assert leaks(guarded, with_password, [process.pid]) == set()
    assert guarded.cli("keys", "rotate").count("\n") == 3
    assert leaks(guarded, secrets) == set()


def plant_in_log(platform, secret):
    with platform.log_file.open("a") as log:
        log.write(f"2026-01-01T00:00:00.000000Z INFO  [test] planted {secret}\n")


def plant_in_catalog(platform, secret):
    with contextlib.closing(sqlite3.connect(platform.home / "catalog.db")) as db, db:
        db.execute("INSERT INTO meta VALUES (?, ?)", (secret, secret))


@pytest.mark.parametrize("plant", [plant_in_log, plant_in_catalog])
def test_what_is_planted_in_a_file_is_found(guarded, plant):
    secret = f"planted{plant.__name__}"
    plant(guarded, secret)
    assert leaks(guarded, {"planted": secret})


@pytest.mark.parametrize("part", ["cmdline", "environ"])
def test_what_is_planted_in_a_process_is_found(guarded, part):
    secret = f"planted{part}"
    arguments = [secret] if part == "cmdline" else []
    environment = {"PLANTED": secret} if part == "environ" else {}
    code = "print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert leaks(guarded, {"planted": secret}, [process.pid]) == {("planted", f"{part} of {process.pid}")}
        process.communicate(b"\n")


# --- postgres.log ---------------------------------------------------------------------------------

# Each fails, and its text is logged with the error; § is the secret, which itself looks like none.
FAILING = {
    "no such role": "ALTER ROLE nobody_here PASSWORD '§'",
    "role exists": "CREATE ROLE neondb_owner LOGIN PASSWORD '§'",
    "between comments": "ALTER /* x */ USER -- y\n nobody_here ENCRYPTED PASSWORD '§'",
    "quoted by a syntax error": "ALTER ROLE nobody_here PASSWORD §",
    "unterminated": "ALTER ROLE nobody_here PASSWORD '§",
    "mistyped": "ALTER ROLE nobody_here PASWORD '§'",
    "user mapping": "CREATE USER MAPPING FOR CURRENT_USER SERVER nowhere OPTIONS (password '§')",
    "server": "CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing OPTIONS (key '§')",
    "subscription": "CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere sslcert=§' PUBLICATION p",
    "connection string": "SELECT dblink_connect('host=/nowhere password=§')",
    "quoted as a value": "SELECT 'postgresql://user:§@host/db'::int",
    "in code": "DO $$ BEGIN EXECUTE 'ALTER ROLE nobody_here PASSWORD ''§'''; END $$",
    "put together in code": "DO $$ BEGIN EXECUTE 'ALTER ROLE nobody_here PASS' || 'WORD ''§'''; END $$",
    "code that does not parse": "DO $$ BEGIN ALTER ROLE nobody_here PASSWORD §; END $$",
    "a parameter": "PREPARE p (text) AS SELECT $1::int; EXECUTE p('token=§')",
}


def fail_with_secrets(project):
    """Runs FAILING, as the owner. Returns the secrets, and what the client was told, both by the case."""
    secrets, told = {}, {}
    with contextlib.closing(project.connect()) as connection, connection.cursor() as cursor:
        for number, (case, statement) in enumerate(FAILING.items()):
            secrets[case] = f"Qx7{number:02}Zr"
            with pytest.raises(psycopg2.Error) as caught:
                cursor.execute(statement.replace("§", secrets[case]))
            told[case] = str(caught.value)
    return secrets, told


def succeed_with_secrets(project):
    """Statements that succeed, in a session whose statements are logged. Returns the secrets."""
    secrets = {}
    with contextlib.closing(project.superuser()) as connection, connection.cursor() as cursor:
        for setting in ("log_statement=all", "log_min_duration_statement=0"):
            name, value = setting.split("=")
            secrets[setting] = f"Qx7{name[4:8]}Zr"
            cursor.execute(f"SET {name} = '{value}'")
            cursor.execute(f"CREATE ROLE of_{name} PASSWORD '{secrets[setting]}'")
            cursor.execute(f"SET {name} TO DEFAULT")
    return secrets


def in_compute_log(project, secrets):
    text = Path(project.compute()["log_file"]).read_text()
    return {case for case, secret in secrets.items() if secret in text}


def test_statements_with_secrets_are_left_out_of_postgres_log(guarded, unguarded):
    for platform, found in ((guarded, False), (unguarded("log_mask"), True)):
        failed, told = fail_with_secrets(platform.project)
        secrets = {**failed, **succeed_with_secrets(platform.project)}
        assert in_compute_log(platform.project, secrets) == (set(secrets) if found else set())
        for case in ("quoted by a syntax error", "quoted as a value"):
            assert failed[case] in told[case], "the client is told all"


def test_other_statements_are_logged_as_ever(guarded):
    with pytest.raises(psycopg2.Error):
        guarded.project.query("SELECT 1 / 0 AS logged_as_ever")
    text = Path(guarded.project.compute()["log_file"]).read_text()
    assert "STATEMENT:  SELECT 1 / 0 AS logged_as_ever" in text and "ERROR:  division by zero" in text


FORGED = "2026-01-01 00:00:00 UTC [1] FATAL:  forged"
ROLE = f"evil\n{FORGED}\x1b[2J"


def forge_by_role_name(project):
    """Fails as a role whose name has a line feed. Returns the lines that came of it, as postgres.log has them."""
    quoted = '"' + ROLE + '"'
    project.query(f"CREATE ROLE {quoted} LOGIN PASSWORD 'pw'")
    with contextlib.closing(project.connect(user=ROLE, password="pw")) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error):
            cursor.execute("SELECT 1 AS \"\x1b[2J\" FROM no_such_table")
    return Path(project.compute()["log_file"]).read_text().splitlines()


def test_a_role_name_begins_no_line_in_postgres_log(guarded, unguarded):
    for platform, forged in ((guarded, False), (unguarded("log_mask"), True)):
        lines = forge_by_role_name(platform.project)
        assert any(line.startswith(FORGED) for line in lines) == forged
        assert any("\x1b" in line for line in lines) == forged


def test_a_login_begins_no_line_in_the_platforms_log(guarded):
    forged = "2026-01-01T00:00:00.000000Z ERROR [fatal] forged"
    with pytest.raises(psycopg2.OperationalError):
        guarded.project.connect(user=f"nobody\n{forged}\x1b[2J", password="x")
    text = guarded.log_text()
    assert "\x1b" not in text and not re.search(f"^{re.escape(forged)}", text, re.M)


# --- modes and processes --------------------------------------------------------------------------


def allowed_mode(home, path):
    parts = path.relative_to(home).parts
    if parts[0] in ("certificates", "lib"):
        return 0o755 if parts[0] == "lib" else 0o711 if path.is_dir() else 0o644 if path.suffix == ".crt" else 0o600
    if parts == ("run", "pageserver"):
        return 0o711  # Rooms, as other users, see this folder alone; run/ itself is closed.
    return 0o700 if path.is_dir() else 0o640 if re.search(r"\.log(\.1)?$", path.name) else 0o700


def open_files(home):
    """What somebody else may use, of all in the home."""
    found = set()
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # Postgres has removed it.
            info = path.lstat()
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                if stat.S_IMODE(info.st_mode) & ~allowed_mode(home, path):
                    found.add((str(path.relative_to(home)), oct(info.st_mode)))
    return found


def test_the_home_is_private_and_what_an_older_program_left_open_is_closed(guarded, day):
    home = guarded.home
    assert open_files(home) == set()
    opened = [home / name for name in ("catalog.db", "api_key", "halogen.log", "safekeeper")]
    for path in opened:
        path.chmod(0o755)
    assert {name for name, mode in open_files(home)} == {path.name for path in opened}
    guarded.down()
    guarded.up()
    assert open_files(home) == set()


def may_be_looked_into(pid):
    """Whether the process's own user may read its memory; if not, the kernel gives these files to root."""
    return os.stat(f"/proc/{pid}/environ").st_uid == os.stat(f"/proc/{pid}").st_uid


def test_the_platform_dumps_no_core_and_lets_nobody_look(guarded):
    pid = guarded.pid()
    assert not may_be_looked_into(pid)
    assert may_be_looked_into(os.getpid())
    for process in processes(guarded):
        with contextlib.suppress(OSError):
            assert re.search(r"^Max core file size +[01] +[01] ", Path(f"/proc/{process}/limits").read_text(), re.M), process
