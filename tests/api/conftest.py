"""Clients of Neon's API as they come from the npm registry, through a proxy that keeps what was said."""

import json
import os
import subprocess

import pytest

from fixtures.node import FOLDER, install
from fixtures.recorder import recording


@pytest.fixture
def recorder(platform):
    """All that is said through it must be as the official document has it."""
    with recording(platform.http_port) as recorder:
        yield recorder
        problems = recorder.problems()
        assert not problems, "\n".join(problems)


class Neonctl:
    def __init__(self, platform, url, folder, key=None):
        install()
        self.platform = platform
        self.arguments = ["--api-host", url, "--api-key", key or platform.api_key(), "--no-analytics",
                          "--config-dir", str(folder)]
        self.env = {**os.environ, "CI": "1", "HOME": str(folder), "NODE_NO_WARNINGS": "1"}
        self.folder = folder

    def run(self, *command, check=True, **environment):
        done = subprocess.run(["node", FOLDER / "node_modules/neonctl/bin/cli.js", *command, *self.arguments],
                              env={**self.env, **environment}, cwd=self.folder, text=True, capture_output=True, timeout=120)
        if check:
            assert done.returncode == 0, f"neonctl {' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def __call__(self, *command):
        """What the command prints with --output json."""
        text = self.run(*command, "--output", "json").stdout
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise AssertionError(f"neonctl {' '.join(command)} printed:\n{text}") from None

    def refused(self, *command):
        done = self.run(*command, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr.strip()


@pytest.fixture
def neonctl(platform, recorder, tmp_path):
    return Neonctl(platform, recorder.url, tmp_path)
