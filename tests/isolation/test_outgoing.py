"""Connections that a compute makes itself: none by default; where its endpoint may, everywhere but to what is the machine's own.

The platform runs in a network namespace of this module's, which has an outer address, a cloud's address for credentials and, as the
kernel's device for interfaces, one that everybody can open: as most machines have it.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import urllib.error
from pathlib import Path

import pytest

from fixtures.platform import Platform, free_port, wait_until
from isolation import inside

OUTER = "203.0.113.7"
CREDENTIALS = "169.254.169.254"
CLONE_NEWNET = 0x40000000
WITH_DEVICE = "mount -t tmpfs device /dev/net && mknod -m {mode} /dev/net/tun c 10 200 && exec \"$@\""

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/net/tun").exists(),
                                reason="only root makes a network, and only where the kernel has interfaces for programs")


@contextlib.contextmanager
def network():
    """This thread, and what it starts, in a network of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            for command in ("link set lo up", f"addr add {OUTER}/32 dev lo", f"addr add {CREDENTIALS}/32 dev lo"):
                subprocess.run(["ip", *command.split()], check=True)
            yield
        finally:
            assert libc.setns(before.fileno(), CLONE_NEWNET) == 0


@contextlib.contextmanager
def platform_with_device(mode):
    with Platform.home_folder("outgoing") as home:
        platform = Platform(home, free_port(), free_port(), "--host", "0.0.0.0")
        platform.runner = ("unshare", "--mount", "--propagation", "private", "sh", "-c", WITH_DEVICE.format(mode=mode), "sh")
        try:
            platform.up()
            yield platform
        finally:
            platform.down(check=False)


@contextlib.contextmanager
def listener():
    """A port that greets whoever connects, on all addresses."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        def greet():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"welcome")
                    connection.close()

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def platform():
    with network(), platform_with_device(mode=666) as platform, listener() as port:
        platform.port = port
        platform.allowed, platform.other = platform.create_project("allowed"), platform.create_project("other")
        allow(platform.allowed)
        platform.other.wake()
        yield platform


def allow(project, state="on"):
    project.platform.cli("outgoing-traffic", state, "--project", project.id)
    project.suspend()
    project.wake()


def connect(host, port):
    import socket
    with socket.create_connection((host, port), timeout=5) as connection:
        return connection.recv(100).decode()


def test_a_compute_that_may_reaches_outer_addresses_and_others_reach_none(platform):
    assert inside.call(platform.allowed, connect, OUTER, platform.port) == "welcome"
    assert inside.call(platform.other, connect, OUTER, platform.port) is None


def test_what_is_the_machines_own_is_not_reached(platform):
    for own in ("127.0.0.1", CREDENTIALS):
        assert connect(own, platform.port) == "welcome"
    for own in ("127.0.0.1", "10.0.2.2", CREDENTIALS):
        assert inside.call(platform.allowed, connect, own, platform.port) is None, own


def take_interface_down():
    import fcntl
    import os
    import socket
    import struct
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"out0", 0))  # SIOCSIFFLAGS
    except OSError as error:
        return os.strerror(error.errno)


def test_nobody_in_the_room_can_change_its_network(platform):
    assert inside.call(platform.allowed, take_interface_down) == "Operation not permitted"


def test_its_owner_reads_another_database_by_dblink(platform):
    string = platform.other.connection_string()
    read = f"SELECT * FROM dblink('{string}&hostaddr={OUTER}', 'SELECT 6 * 7') AS answer (n int)"
    for project in (platform.allowed, platform.other):
        with contextlib.closing(project.superuser("neondb")) as connection:
            connection.cursor().execute("CREATE EXTENSION dblink")
    assert platform.allowed.query(read) == [(42,)]
    with pytest.raises(Exception, match="could not connect|could not establish connection"):
        platform.other.query(read)


def outgoing_processes():
    return [int(status.parent.name) for status in Path("/proc").glob("[0-9]*/status")
            if b"halogen_outgoing" in (status.parent / "cmdline").read_bytes() and network_of(status.parent) == network_of(Path("/proc/self"))]


def network_of(process):
    return os.stat(process / "ns/net").st_ino


def test_its_network_ends_with_it_and_with_the_platform(platform):
    platform.allowed.query("SELECT 1")
    [process] = outgoing_processes()
    status = Path(f"/proc/{process}/status").read_text()
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status
    platform.allowed.suspend()
    wait_until(lambda: not outgoing_processes())
    platform.allowed.query("SELECT 1")
    assert len(outgoing_processes()) == 1
    platform.kill()
    wait_until(lambda: not outgoing_processes())
    platform.up()
    platform.other.wake()


def test_it_is_taken_away_at_the_next_start(platform):
    allow(platform.allowed, "off")
    assert inside.call(platform.allowed, connect, OUTER, platform.port) is None
    allow(platform.allowed)
    assert inside.call(platform.allowed, connect, OUTER, platform.port) == "welcome"


def test_where_the_device_is_closed_it_cannot_be_allowed_and_computes_start_without():
    with network(), platform_with_device(mode=600) as platform:
        project = platform.create_project()
        refused = platform.cli("outgoing-traffic", "on", "--project", project.id, check=False)
        assert refused.returncode != 0 and "chmod 666 /dev/net/tun" in refused.stderr
        with pytest.raises(urllib.error.HTTPError) as error:
            platform.patch_endpoint(project, settings={"outgoing_traffic": "yes"})
        assert error.value.code == 400 and "outgoing_traffic must be true or false" in error.value.read().decode()
