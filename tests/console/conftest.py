"""The console, driven in Debian's Chromium by the programs in tests/node/console."""

import os
import subprocess

import pytest

from fixtures.node import FOLDER, install, node
from fixtures.platform import ROOT

SHOTS = ROOT / "build/console-screenshots"


@pytest.fixture(scope="session")
def browser():
    """Where the programs find one browser for all of them."""
    install()
    with subprocess.Popen(["node", "console/serve.mjs"], cwd=FOLDER, env=os.environ, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().strip()
        server.stdin.close()


@pytest.fixture
def drive(platform, browser):
    """drive(program, ...): its output; it fails as the program does."""
    assert (ROOT / "web/dist/index.html").exists(), "the console is not built: ./dev build"

    def run(program, project=None, **environment):
        return node(platform, "", f"console/{program}.mjs", timeout=300, TZ="UTC", PROJECT=project.id if project else "",
                    CONSOLE_URL=f"http://127.0.0.1:{platform.http_port}", CONSOLE_SHOTS=str(SHOTS), CONSOLE_BROWSER=browser,
                    CONSOLE_PASSWORD=(platform.home / "operator_password").read_text().strip(), **environment)

    return run
