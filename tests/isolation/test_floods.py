"""Floods by who cannot log in: they are charged to their own address, and others do not feel them."""

import contextlib
import socket
import ssl
import struct
from urllib.parse import urlsplit

import psycopg2
import pytest

from fixtures.platform import Platform, wait_until

ATTACKER = "127.0.9.1"
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)
CANCEL_REQUEST = struct.pack("!IIII", 16, 80877102, 1, 2)


@pytest.fixture(scope="module")
def platform():
    with Platform.create("floods") as platform:
        platform.project = platform.create_project("victim")
        platform.string = platform.project.connection_string()
        platform.host = urlsplit(platform.string).hostname
        log_in(platform)
        yield platform


class Stranger:
    """A connection that is not logged in."""

    def __init__(self, platform, address):
        self.host = platform.host
        self.socket = socket.create_connection(("127.0.0.1", platform.pg_port), timeout=20, source_address=(address, 0))

    def tls(self):
        self.socket.sendall(SSL_REQUEST)
        if self.socket.recv(1) != b"S":
            return False
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname=self.host)
        return True

    def begin_scram(self, role):
        body = struct.pack("!I", 196608) + b"user\0" + role.encode() + b"\0database\0neondb\0\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        first = b"n,,n=,r=abcdefghijklmnopqr"
        message = b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first
        self.socket.sendall(b"p" + struct.pack("!I", len(message) + 4) + message)
        return self.socket.recv(4096)

    def said(self, packet):
        self.socket.sendall(packet)
        with contextlib.suppress(OSError):
            return self.socket.recv(4096)

    def close(self):
        self.socket.close()


def abandon(platform, address, role="neondb_owner"):
    """False once the address is refused."""
    stranger = Stranger(platform, address)
    try:
        if not stranger.tls():
            return False
        stranger.begin_scram(role)
        return True
    except OSError:
        return False
    finally:
        stranger.close()


def spend_budget(platform, address):
    """Handshakes that are begun and left, at once: more than an address has, so it is refused for half a minute at least."""
    strangers = [Stranger(platform, address) for _ in range(1800)]
    for stranger in strangers:
        stranger.socket.sendall(SSL_REQUEST)
    for stranger in strangers:
        assert stranger.socket.recv(1) == b"S"
    for stranger in strangers:
        stranger.close()
    wait_until(lambda: not abandon(platform, address), what="a refusal")


def log_in(platform):
    psycopg2.connect(platform.string).close()


def test_an_address_is_refused_when_it_has_spent_its_budget_and_others_are_not(platform):
    spend_budget(platform, ATTACKER)
    answer = Stranger(platform, ATTACKER).said(SSL_REQUEST)
    assert answer[:1] == b"E" and b"53300" in answer
    log_in(platform)
    assert abandon(platform, "127.0.9.2")


def test_a_refused_address_asks_no_compute_and_wakes_none(platform):
    another = "127.0.9.6"
    spend_budget(platform, another)
    platform.project.suspend()
    for _ in range(20):
        assert not abandon(platform, another)
    for role in ("neondb_owner", "nobody"):
        assert abandon(platform, "127.0.9.3", role)  # From the catalog's copy of the roles.
    assert platform.project.compute() is None or platform.project.compute()["state"] == "idle"


@pytest.mark.parametrize("packet", [GSS_REQUEST, CANCEL_REQUEST, b"\x16\x03\x01\x00\x00", b"\0\0\0\x03", b"\xff" * 8],
                         ids=["gss", "cancel", "half a handshake", "too short", "too long"])
def test_rubbish_is_answered_and_the_platform_goes_on(platform, packet):
    strangers = [Stranger(platform, "127.0.9.4") for _ in range(20)]
    for stranger in strangers:
        stranger.socket.sendall(packet)
    for stranger in strangers:
        stranger.close()
    log_in(platform)


def test_the_log_does_not_grow_with_the_flood(platform):
    before = len(platform.log_text())
    for number in range(500):
        with contextlib.suppress(psycopg2.OperationalError):
            Stranger(platform, "127.0.9.5").said(b"\0\0\0\x03")
    assert len(platform.log_text()) - before < 100_000
