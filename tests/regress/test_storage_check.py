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


def test_a_dump_shows_a_timeline_a_layer_file_and_what_makes_a_page(stopped):
    def with_pages(layer):  # Some have metadata only.
        return any(is_page(line) for line in stopped.cli("storage", "dump", str(layer)).splitlines())

    def is_page(line):
        return line.startswith("relation 1663/") and " main block " in line

    layer = next(filter(with_pages, stopped.home.glob("pageserver/timelines/*/layers/*.layer")))
    timeline = layer.parent.parent.name
    shown = stopped.cli("storage", "dump", timeline)
    assert "on disk up to" in shown and layer.name in shown
    lines = stopped.cli("storage", "dump", str(layer)).splitlines()
    assert " entries of " in lines[0] and len(lines) == 1 + int(lines[0].split()[0])
    page = next(filter(is_page, lines)).split()
    shown = stopped.cli("storage", "dump", timeline, "--page", f"{page[1]}/{page[2]}/{page[4]}")
    assert "1 versions" in shown or " versions\n" in shown
    assert "page: LSN" in shown or "the page cannot be shown" in shown
    assert stopped.cli("storage", "dump", "nonsense", check=False).returncode != 0
    with Damage(layer, os.path.getsize(layer) // 2):
        assert stopped.cli("storage", "dump", str(layer), check=False).returncode != 0
