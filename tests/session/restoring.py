"""The statement that restores a session, as the proxy writes it."""

from session.wire import ServerError, rows


def quoted(text):
    """A constant that reads the same whatever settings the connection has."""
    escaped = ""
    for char in text:
        code = ord(char)
        if char in "'\\":
            escaped += char * 2
        elif code < 0x80:
            escaped += char
        else:
            escaped += f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return f"E'{escaped}'"


def statement(wire, *operations):
    items = [quoted(item) for operation in operations for item in operation]
    return "SET halogen.session TO " + ", ".join([quoted(wire.a_pass()), *items])


def operations_of(state, startup=()):
    """Everything that a report told, and the startup packet of its session."""
    result = [("startup", name, value) for name, value in dict(startup).items()]
    result += [("setting", name, value) for name, value in state.get("settings", {}).items()]
    result += [("known", name) for name in state.get("known", [])]
    result += [(name, state[name]) for name in ("session_authorization", "role") if name in state]
    result += [("listen", channel) for channel in state.get("listen", [])]
    for one in state.get("prepared", []):
        result += [("under", name, value) for name, value in one.get("settings", {}).items()]
        result.append(("prepare", one["statement"]))
    return result


def restore(wire, *operations):
    wire.query(statement(wire, *operations))


def restore_state(wire, state, startup=()):
    restore(wire, *operations_of(state, startup))


def restore_fails(wire, *operations, text=None):
    """It must end the connection before the query behind it runs. Returns SQLSTATE and message."""
    sql = text or statement(wire, *operations)
    wire.send(("Q", sql.encode() + b"\0"), ("Q", b"create table must_not_be_made (a int)\0"))
    messages = []
    try:
        while True:
            messages.append(wire.receive())
    except (EOFError, ConnectionResetError):
        pass
    kinds = [kind for kind, _ in messages if kind not in "SN"]
    assert kinds == ["E"], kinds
    body = dict(messages)["E"]
    assert b"FATAL" in body
    try:
        rows(messages)
    except ServerError as error:
        return error.code, str(error)

