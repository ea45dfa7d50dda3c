import shutil
import tempfile
from pathlib import Path

import pytest

from fixtures import ceph, swift
from fixtures.s3 import s3rver


@pytest.fixture
def folder():
    """A place for stores, a disk that may go away, and a key that every user of this machine can use."""
    path = Path(tempfile.mkdtemp(prefix="halogen-store-", dir="/var/tmp"))
    (path / "disk").mkdir()
    for place in (path, path / "disk"):
        place.chmod(0o777)
    (path / "key").write_text("a long random line of the operator\n")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def s3():
    with s3rver() as service:
        yield service


@pytest.fixture(scope="session")
def rgw():
    if ceph.MISSING:
        pytest.skip(ceph.MISSING)
    with ceph.rgw() as service:
        yield service


@pytest.fixture(scope="session")
def openstack():
    if swift.MISSING:
        pytest.skip(swift.MISSING)
    with swift.swift() as service:
        yield service


# Each that takes long to start is started once.
SLOW = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("rgw", "openstack")]


@pytest.fixture(params=["s3", *SLOW])
def service(request):
    """Each of the services."""
    return request.getfixturevalue(request.param)
