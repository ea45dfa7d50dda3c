"""Raw clients for the tests of this folder."""

import pytest

from fixtures.wire import TlsWire


@pytest.fixture
def connect():
    """Opens a raw client by a connection string; all are closed in the end."""
    opened = []

    def one(string, **parameters):
        opened.append(TlsWire(string, **parameters))
        return opened[-1]

    yield one
    for wire in opened:
        try:
            wire.close()
        except OSError:
            pass
