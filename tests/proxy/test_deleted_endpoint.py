"""Nothing is kept of an endpoint that has been deleted: neither its clients nor what is counted for it."""

import pytest

from fixtures.platform import wait_until
from fixtures.wire import ServerError, TlsWire, fields


def test_its_clients_are_told_and_it_is_forgotten(platform):
    project = platform.create_project()
    endpoint, pooled = project.endpoint(), project.connection_string(pooled=True)
    clients = [TlsWire(pooled), TlsWire(project.connection_string())]
    for client in clients:
        client.query("listen c")
    wait_until(lambda: endpoint in platform.metrics(), what="metrics of the endpoint")
    project.delete()
    for client in clients:
        kind, body = client.receive()
        while fields(body).get("V") == "ERROR":
            kind, body = client.receive()
        # One whose LISTEN is still its server's own hears that server's end first.
        assert (kind, fields(body)["V"]) == ("E", "FATAL") and fields(body)["C"] in ("57P04", "57P01"), fields(body)
    wait_until(lambda: endpoint not in platform.metrics(), what="the end of its metrics")
    with pytest.raises(ServerError, match="28P01"):
        TlsWire(pooled)
