"""Platforms with all layers of isolation, and with some taken out: see README.md."""

import contextlib

import pytest

from fixtures.platform import Platform


@pytest.fixture(scope="module")
def guarded(request):
    """A platform as it is by default (but for the module's UP_ARGUMENTS), with a project of the attacker's and one of the victim's."""
    with Platform.create("guarded", *up_arguments(request)) as platform:
        yield with_projects(platform)


@pytest.fixture(scope="module")
def unguarded(request):
    """Called with names of layers: a platform without those, made at the first call of a module."""
    with contextlib.ExitStack() as stack:
        made = {}

        def platform(*layers):
            if layers not in made:
                name = f"without-{'-'.join(layers)}"
                made[layers] = with_projects(stack.enter_context(Platform.create(name, f"--unsafe-without={','.join(layers)}", *up_arguments(request))))
            return made[layers]

        yield platform


def up_arguments(request):
    return getattr(request.module, "UP_ARGUMENTS", ())


def with_projects(platform):
    platform.project = platform.create_project("attacker")
    platform.victim = platform.create_project("victim")
    for project in (platform.project, platform.victim):
        project.query("SELECT 1")  # Awake: both have a compute.
    return platform
