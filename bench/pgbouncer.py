"""PgBouncer in front of a compute's socket, to measure against: TLS, SCRAM, transaction pooling."""

import contextlib
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from stock import run

PROGRAM = "/usr/sbin/pgbouncer"


def version(program=PROGRAM):
    """(1, 18) and the like; None if it is not installed."""
    if not Path(program).exists():
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    return tuple(int(n) for n in re.search(r"PgBouncer (\d+)\.(\d+)", said).groups())


def knows_prepared_statements(program=PROGRAM):
    return version(program) >= (1, 21)


def allow_descriptors():
    """All that a process may have: each client is one."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def pgbouncer(port, socket_folder, owner, database, user, verifier, pool_size, program=PROGRAM):
    """Yields its process id. `owner` is the system user who may open the socket, `verifier` what pg_authid holds."""
    root = Path(tempfile.mkdtemp(prefix="halogen-pgbouncer-", dir="/var/tmp"))
    run(["openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-subj", "/CN=localhost", "-keyout", root / "tls.key", "-out", root / "tls.crt"])
    (root / "users").write_text(f'"{user}" "{verifier}"\n')
    (root / "ini").write_text(f"""
[databases]
{database} = host={socket_folder} port=5432 dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {root}/users
client_tls_sslmode = require
client_tls_key_file = {root}/tls.key
client_tls_cert_file = {root}/tls.crt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 20000
listen_backlog = 1024
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
{"max_prepared_statements = 200" if knows_prepared_statements(program) else ""}
""")
    command = [program, str(root / "ini")]
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", owner, root], check=True)
        command = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", *command]
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=allow_descriptors)
    try:
        time.sleep(0.5)
        assert process.poll() is None, (root / "log").read_text()
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(root, ignore_errors=True)
