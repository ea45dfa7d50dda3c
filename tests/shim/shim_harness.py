"""Stock Postgres on files that a small page service (shim_testbed) hands out lazily.

A source cluster is built, stopped and never touched again: it is what storage would hold. Computes
are data directories prepared from it, with no relation or SLRU file in them, booted under the shim.
"""

import atexit
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2

from fixtures.platform import BUILD

LIBRARY = BUILD / "lib/libhalogen_shim.so"
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


def as_postgres():
    """How to start a program as a user that Postgres accepts."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def reachable(built):
    """A copy that the user postgres can read, wherever our checkout lies."""
    copy = COPIES / built.name
    if not copy.exists():
        shutil.copy(built, copy)
        copy.chmod(0o755)
    return copy


COPIES = pathlib.Path(tempfile.mkdtemp(prefix="halogen-shim-built-"))
COPIES.chmod(0o755)
atexit.register(shutil.rmtree, COPIES, ignore_errors=True)
TESTBED = reachable(BUILD / "bin/shim_testbed")
SHIM = reachable(LIBRARY)
BROKEN_SHIM = reachable(BUILD / "lib/libhalogen_shim_broken.so")


def give_to_postgres(path):
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "postgres:postgres", str(path)], check=True)


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], text=True, cwd="/tmp",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **as_postgres(), **options)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
    return done


class Folder:
    """A folder that both root and postgres can enter, removed at the end."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="halogen-shim-"))
        self.path.chmod(0o755)
        give_to_postgres(self.path)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Postgres:
    """A postmaster on a data directory, under the shim or not."""

    def __init__(self, data, log, environment=None, **settings):
        self.data, self.log, self.environment = data, log, environment or {}
        self.settings = {
            "unix_socket_directories": data.parent, "listen_addresses": "", "fsync": "off",
            "full_page_writes": "off", "restart_after_crash": "off", "autovacuum": "off",
            "max_wal_size": "4GB", "shared_buffers": "16MB", **settings}
        self.process = None

    def arguments(self):
        """Of subprocess.Popen, but for its streams."""
        options = [word for key, value in self.settings.items() for word in ("-c", f"{key}={value}")]
        return {"args": [str(PG_BIN / "postgres"), "-D", str(self.data), *options], "cwd": "/tmp",
                "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **self.environment}, **as_postgres()}

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(**self.arguments(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT)
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self):
        deadline = time.monotonic() + 60
        pid_file = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(FileNotFoundError):
                lines = pid_file.read_text().split("\n")
                if len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(self.process.pid):
                    return
            time.sleep(0.005)
        raise AssertionError("postgres does not start: " + self.log.read_text()[-3000:])

    def connect(self, database="postgres", **options):
        connection = psycopg2.connect(host=str(self.data.parent), user="postgres", dbname=database, **options)
        connection.autocommit = True
        return connection

    def sql(self, text, database="postgres"):
        connection = self.connect(database)
        try:
            cursor = connection.cursor()
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode if self.process else None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class PageService:
    def __init__(self, source, socket, delay_us=0, bad_block=None):
        words = [TESTBED, "serve", source, socket, delay_us] + ([bad_block] if bad_block else [])
        self.process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True,
                                        **as_postgres())
        assert self.process.stdout.readline() == "ready\n"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Compute(Postgres):
    """A data directory prepared from the source, with its page service at `socket`."""

    def __init__(self, folder, source, deadline_ms=20000, hot=False, shim=SHIM, cache_bytes=0, **settings):
        self.manifest, self.socket = folder / "manifest", folder / "pages.sock"
        words = ["prepare", source, folder / "data", self.manifest, self.socket, deadline_ms, cache_bytes]
        print(run(TESTBED, *words, *(["hot"] if hot else [])).stdout)
        super().__init__(folder / "data", folder / "log", {
            "LD_PRELOAD": str(shim), "HALOGEN_SHIM_MANIFEST": str(self.manifest),
            "HALOGEN_SHIM_DATA": str(folder / "data")}, **settings)

    def status(self):
        words = run(TESTBED, "status", self.manifest).stdout.split()
        return {key: int(value) for key, value in (word.split("=") for word in words)}

    def keep_relcache_files(self, keep):
        run(TESTBED, "rebase", self.manifest, self.socket, 0x1234, 20000, *(["keep"] if keep else []))

    def files(self):
        """Relation and SLRU files that exist by now, seen from outside."""
        return [path for top in ("base", "global", "pg_xact", "pg_multixact", "pg_tblspc")
                for path in (self.data / top).rglob("*")
                if path.is_file() and path.name[0].isdigit()]


def build_source(folder, sql=(), pgbench_scale=0):
    """A cleanly stopped cluster."""
    data = folder / "data"
    run(PG_BIN / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
        "--locale=C.UTF-8")
    with Postgres(data, folder / "log", shared_buffers="128MB", allow_in_place_tablespaces="on",
                  max_locks_per_transaction=1000) as postgres:
        if pgbench_scale:
            run(PG_BIN / "pgbench", "-h", folder, "-U", "postgres", "-i", "-q", "-s", pgbench_scale, "postgres")
        for statement in sql:
            postgres.sql(statement)
    return data


def plain_copy(source, folder, **settings):
    shutil.copytree(source, folder / "data")
    give_to_postgres(folder / "data")
    return Postgres(folder / "data", folder / "log", **settings)


def fingerprint(postgres):
    """The contents of every table and sequence of every database."""
    found = {}
    databases = postgres.sql("select datname from pg_database where datallowconn order by 1")
    for (database,) in databases:
        connection = postgres.connect(database)
        cursor = connection.cursor()
        cursor.execute("select c.oid::regclass::text, c.relkind from pg_class c join pg_namespace n on n.oid = "
                       "relnamespace where relkind in ('r', 'S', 'm') and nspname = 'public' order by 1")
        for name, kind in cursor.fetchall():
            row = "last_value::text" if kind == "S" else "t::text"
            cursor.execute(f"select count(*), sum(hashtextextended({row}, 0)::numeric) from {name} t")
            found[database, name] = (kind, *cursor.fetchone())
        connection.close()
    return found


def pg_amcheck(postgres):
    return run(PG_BIN / "pg_amcheck", "-h", postgres.data.parent, "-U", "postgres", "--install-missing",
               "--all", "--heapallindexed", "--parent-check", check=False)
