"""A stock PostgreSQL 15 with durable defaults, on the same disk, to measure against."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg2

PGBIN = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "bench"


def as_unprivileged(args):
    """Postgres refuses root; run it as the package's own user then."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *args] if os.geteuid() == 0 else args


def run(args, **kwargs):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise SystemExit(f"{args[0]} ended with status {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done


@contextlib.contextmanager
def stock_postgres(port, max_connections=200, preload=None):
    """Yields the folder of its unix socket. TLS is on, with the snake-oil certificate it makes itself. With a library preloaded, if one is given."""
    root = Path(tempfile.mkdtemp(prefix="halogen-stock-", dir="/var/tmp"))
    data = root / "data"
    if os.geteuid() == 0:
        shutil.chown(root, "postgres", "postgres")
    run(as_unprivileged([PGBIN / "initdb", "-D", data, "-U", "cloud_admin", "--encoding=UTF8", "--locale=C.UTF-8", "-A", "trust"]))
    run(["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-subj", "/CN=localhost", "-keyout", data / "server.key", "-out", data / "server.crt"])
    for name in ("server.key", "server.crt"):
        os.chmod(data / name, 0o600)
        if os.geteuid() == 0:
            shutil.chown(data / name, "postgres", "postgres")
    options = f"-p {port} -c unix_socket_directories={root} -c listen_addresses=127.0.0.1 -c ssl=on -c max_connections={max_connections}"
    run(as_unprivileged([PGBIN / "pg_ctl", "-D", data, "-w", "-l", root / "log", "-o", options, "start"]),
        env={**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})})
    try:
        yield root
    finally:
        run(as_unprivileged([PGBIN / "pg_ctl", "-D", data, "-m", "immediate", "stop"]))
        shutil.rmtree(root, ignore_errors=True)


def require_scram(folder, port, user):
    """Has stock Postgres ask for a password by TCP, for a database `neondb`; the verifier that it keeps."""
    with contextlib.closing(psycopg2.connect(host=folder, port=port, user="cloud_admin", dbname="postgres")) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"create role {user} superuser login password '{PASSWORD}'")
        cursor.execute("create database neondb")
        hba = folder / "data/pg_hba.conf"
        hba.write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        cursor.execute("select pg_reload_conf()")
        cursor.execute("select rolpassword from pg_authid where rolname = %s", (user,))
        return cursor.fetchone()[0]


def url(user, port):
    return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/neondb?sslmode=require"
