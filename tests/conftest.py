"""Fixtures: a whole platform of its own for the tests, with real clients, and a watch on its log.

Environment: HALOGEN_BIN (the program, default build/dev/bin/halogen).
"""

import pytest

from fixtures.platform import Platform


@pytest.fixture(scope="session")
def session_platform(tmp_path_factory):
    """One platform shared by the tests that do not kill it."""
    with Platform.create("shared") as platform:
        yield platform


@pytest.fixture
def platform(session_platform):
    """The shared platform; a WARN or ERROR line in its log that the test did not expect fails the test."""
    with session_platform.watch_log():
        yield session_platform


@pytest.fixture
def own_platform():
    """A platform for this test alone, which it may stop, kill and break."""
    with Platform.create("own") as platform:
        with platform.watch_log():
            yield platform


@pytest.fixture
def project(platform):
    """A fresh project on the shared platform, deleted afterwards."""
    project = platform.create_project()
    yield project
    project.delete()


@pytest.fixture(params=["direct", "pooled"])
def pooled(request):
    """For what must work with both of a project's connection strings."""
    return request.param == "pooled"


@pytest.fixture
def string(project, pooled):
    return project.connection_string(pooled=pooled)


@pytest.fixture
def crowded(platform, project, string):
    """A string for many more clients than there are server connections, where it is a pooled one."""
    platform.set_pooler(project, default_pool_size=CROWDED_POOL)
    return string


# Server connections for the 40 clients of the tests that are about sharing.
CROWDED_POOL = 5
