"""`halogen storage check`: silent about what is whole, and names what is not; changes nothing."""

import json
import os

import pytest

from fixtures.platform import Platform


@pytest.fixture(scope="module")
def stopped():
    """A platform with a branch, some of its WAL in layer files and some not; down."""
    with Platform.create("check") as platform:
        project = platform.create_project()
        project.query("create table t as select i, repeat('x', 500) from generate_series(1, 20000) i")
        project.create_branch("dev")
        project.suspend()
        project.query("insert into t values (0)")
        platform.kill()
        yield platform


def check(platform):
    done = platform.cli("storage", "check", "--json", check=False)
    return done.returncode, json.loads(done.stdout)["problems"]


def files(platform):
    return {path: (path.stat().st_mtime_ns, path.stat().st_uid)
            for part in ("pageserver", "safekeeper") for path in (platform.home / part).rglob("*") if path.is_file()}


def newest(platform, pattern):
    return max(platform.home.glob(pattern), key=lambda path: path.stat().st_mtime_ns)


class Damage:
    """One byte of a file is another one, for as long as this is entered."""

    def __init__(self, path, at):
        self.path, self.at = path, at

    def flip(self):
        with open(self.path, "r+b") as file:
            file.seek(self.at)
            byte = file.read(1)[0]
            file.seek(self.at)
            file.write(bytes([byte ^ 0x55]))

    def __enter__(self):
        self.flip()

    def __exit__(self, *error):
        self.flip()


def test_a_running_platform_is_refused(platform):
    done = platform.cli("storage", "check", check=False)
    assert done.returncode == 1 and "halogen down" in done.stderr


def test_what_is_whole_has_no_problems_and_is_not_touched(stopped):
    before = files(stopped)
    assert check(stopped) == (0, [])
    assert files(stopped) == before


def test_a_damaged_layer_file_is_named(stopped):
    layer = newest(stopped, "pageserver/timelines/*/layers/*.layer")
    with Damage(layer, os.path.getsize(layer) // 2):
        code, problems = check(stopped)
    assert code == 1 and len(problems) == 1 and str(layer) in problems[0]


def test_a_layer_file_that_is_missing_is_named(stopped):
    layer = newest(stopped, "pageserver/timelines/*/layers/*.layer")
    layer.rename(layer.with_suffix(".away"))
    code, problems = check(stopped)
    layer.with_suffix(".away").rename(layer)
    assert code == 1 and str(layer) in problems[0]


def test_a_lost_folder_of_the_safekeeper_is_named(stopped):
    folder = newest(stopped, "safekeeper/*/state").parent
    folder.rename(folder.with_name("away"))
    code, problems = check(stopped)
    folder.with_name("away").rename(folder)
    assert code == 1 and len(problems) == 1 and folder.name in problems[0] and "safekeeper" in problems[0]


def test_a_lost_template_is_named(stopped):
    template = stopped.home / "pageserver/templates/15"
    text = template.read_text()
    template.unlink()
    code, problems = check(stopped)
    template.write_text(text)
    assert code == 1 and any("no template" in problem for problem in problems)
