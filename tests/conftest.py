"""Fixtures: a whole platform of its own for the tests, with real clients, and a watch on its log.

Environment: HALOGEN_BIN (the program, default build/dev/bin/halogen).
"""

from pathlib import Path

import pytest

from fixtures.platform import Platform

TESTS = Path(__file__).parent
# Tests run side by side, each worker with a platform of its own; what shares another costly fixture stays on one worker.
SHARING = ("drivers/test_crowd.py", "drivers/test_pipelines.py", "proxy/test_state_matrix.py", "session", "shim")
# Begun first, so that no worker is left alone with one of them at the end.
LONG = ("regress/test_replay.py", "chaos", "proxy/test_many_clients.py", *SHARING)


@pytest.hookimpl(tryfirst=True)  # Before pytest-xdist reads the groups.
def pytest_collection_modifyitems(items):
    def rank(item):
        path = item.path.relative_to(TESTS)
        return next((i for i, name in enumerate(LONG) if path.is_relative_to(name)), len(LONG))

    for item in items:
        for name in SHARING:
            if item.path.is_relative_to(TESTS / name):
                item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=rank)


@pytest.fixture(scope="session")
def session_platform(tmp_path_factory):
    """One platform shared by the tests that do not kill it; what they leave in storage must be whole."""
    with Platform.create("shared") as platform:
        yield platform
        platform.check_storage()


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
