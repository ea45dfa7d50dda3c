"""A raw client of the Postgres protocol, small enough to show every message it was sent."""

import hmac
import json
import socket
import struct

STATE = "halogen.session"
SECRET = "0123456789abcdef" * 4


class ServerError(Exception):
    def __init__(self, body):
        fields = {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
        self.code, self.hint = fields.get("C"), fields.get("H")
        super().__init__(f"{self.code}: {fields.get('M')}")


class Wire:
    """One connection over a Unix socket without a password. `state` is the last one reported."""

    def __init__(self, socket_path, user="postgres", database="postgres", **parameters):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(socket_path))
        self.buffer = b""
        self.state = {}
        self.reports = 0
        self.pid = None
        self.login = None  # Whose the connection is, as told at its beginning.
        self.defaults = {}  # What roles and databases gave it, as told at its beginning.
        self.passes = 0
        self.told = []  # Of settings, and of names: (parameter, value).
        words = {"user": user, "database": database, **parameters}
        body = struct.pack("!I", 196608) + b"".join(
            word.encode() + b"\0" for pair in words.items() for word in pair) + b"\0"
        self.socket.sendall(struct.pack("!I", len(body) + 4) + body)
        self.until_ready()

    def send(self, *messages):
        """Messages are (type, body); all are sent at once."""
        self.socket.sendall(b"".join(
            kind.encode() + struct.pack("!I", len(body) + 4) + body for kind, body in messages))

    def receive(self):
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!I", self.buffer[1:5])[0]:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError("server closed the connection")
            self.buffer += data
        size = 1 + struct.unpack("!I", self.buffer[1:5])[0]
        message, self.buffer = self.buffer[:size], self.buffer[size:]
        return message[:1].decode(), message[5:]

    def until_ready(self):
        """All messages up to ReadyForQuery. The state is told at most once, right before it."""
        messages = []
        while not messages or messages[-1][0] != "Z":
            messages.append(self.receive())
            kind, body = messages[-1]
            if kind == "S" and body.startswith(STATE.encode() + b"\0"):
                assert body.isascii()
                self.state = json.loads(body[len(STATE) + 1:-1])
                self.reports += 1
            elif kind == "S" and body.startswith(b"halogen.login\0"):
                self.login = body[len("halogen.login\0"):-1].decode()
            elif kind == "S" and body.startswith(b"halogen.defaults\0"):
                self.defaults = json.loads(body[len("halogen.defaults\0"):-1])
            elif kind == "S" and body.startswith((b"halogen.parse\0", b"halogen.deallocated\0")):
                self.told.append(tuple(body[:-1].decode().split("\0")))
            elif kind == "K":
                self.pid = struct.unpack("!I", body[:4])[0]
        return messages

    def a_pass(self):
        """Shows that the next statement is the proxy's."""
        self.passes += 1
        mac = hmac.digest(SECRET.encode(), str(self.passes).encode(), "sha256")
        return f"{self.passes}.{mac.hex()}"

    def close(self):
        self.send(("X", b""))
        self.socket.close()

    def simple(self, sql):
        self.send(("Q", sql.encode() + b"\0"))
        return self.until_ready()

    def query(self, sql):
        """Rows as tuples of text. Raises ServerError."""
        return rows(self.simple(sql))

    def fails(self, sql):
        """The SQLSTATE of a statement that must fail."""
        try:
            self.query(sql)
        except ServerError as error:
            return error.code
        raise AssertionError(f"did not fail: {sql}")

    def extended(self, *statements):
        """Statements in one pipeline, then Sync."""
        self.send(*(message for sql in statements for message in extended(sql)), ("S", b""))
        return self.until_ready()

    def one(self, sql):
        return self.query(sql)[0][0]


def extended(sql):
    return [("P", b"\0" + sql.encode() + b"\0\0\0"), ("B", b"\0\0" + b"\0\0" * 3), ("E", b"\0" + b"\0" * 4)]


def rows(messages):
    result = []
    for kind, body in messages:
        if kind == "E":
            raise ServerError(body)
        if kind == "D":
            count, offset, row = struct.unpack("!H", body[:2])[0], 2, []
            for _ in range(count):
                size = struct.unpack("!i", body[offset:offset + 4])[0]
                offset += 4
                row.append(body[offset:offset + size].decode() if size >= 0 else None)
                offset += max(size, 0)
            result.append(tuple(row))
    return result


def kinds(messages):
    """The sequence of message types, a report as '*' and other ParameterStatus left out."""
    text = ""
    for kind, body in messages:
        if kind == "S":
            text += "*" if body.startswith(STATE.encode() + b"\0") else ""
        else:
            text += kind
    return text
