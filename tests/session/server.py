"""A stock Postgres that loads halogen.so, in a folder of its own."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from fixtures.platform import BUILD
from session.wire import SECRET, Wire

LIBRARY = BUILD / "lib/halogen.so"
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


def as_postgres():
    """How to start a program as a user that Postgres accepts."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="halogen-session-"))
        self.socket = self.folder / ".s.PGSQL.5432"
        self.log = self.folder / "log"
        # A copy, as the checkout may be closed to the user that runs Postgres.
        shutil.copy(LIBRARY, self.folder / "halogen.so")
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        data = self.folder / "data"
        subprocess.run([PG_BIN / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8",
                        "--locale", "C.UTF-8"], check=True, cwd="/", stdout=subprocess.DEVNULL, **as_postgres())
        settings = {
            "unix_socket_directories": self.folder, "listen_addresses": "", "fsync": "off", "autovacuum": "off",
            "shared_buffers": "16MB", "shared_preload_libraries": self.folder / "halogen.so",
            "wal_level": "logical", "max_prepared_transactions": 4, "restart_after_crash": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([PG_BIN / "postgres", "-D", data, *options], cwd="/", stdout=log,
                                            stdin=subprocess.DEVNULL, stderr=log, **as_postgres())
        try:
            self.wait_until_ready(data / "postmaster.pid")
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait_until_ready(self, pid_file):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
                return
            time.sleep(0.02)
        raise AssertionError("postgres does not start: " + self.log.read_text())

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, user="postgres", **parameters):
        """A session that reports."""
        return Wire(self.socket, user, **{"halogen.report_session": "on", "halogen.session_secret": SECRET, **parameters})
