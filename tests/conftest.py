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
