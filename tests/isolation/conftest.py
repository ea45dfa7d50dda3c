"""Platforms with all layers of isolation, and with some taken out: see README.md."""

import contextlib

import pytest

from fixtures.platform import Platform


@pytest.fixture(scope="module")
def guarded():
    """A platform as it is by default, with a project of the attacker's and one of the victim's."""
    with Platform.create("guarded") as platform:
        yield with_projects(platform)


@pytest.fixture(scope="module")
def unguarded():
    """Called with names of layers: a platform without those, made at the first call of a module."""
    with contextlib.ExitStack() as stack:
        made = {}

        def platform(*layers):
            if layers not in made:
                name = f"without-{'-'.join(layers)}"
                made[layers] = with_projects(stack.enter_context(Platform.create(name, f"--unsafe-without={','.join(layers)}")))
            return made[layers]

        yield platform


def with_projects(platform):
    platform.project = platform.create_project("attacker")
    platform.victim = platform.create_project("victim")
    for project in (platform.project, platform.victim):
        project.query("SELECT 1")  # Awake: both have a compute.
    return platform
