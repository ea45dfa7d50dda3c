"""A restore that is killed at any step leaves the branch as it was or as it was to be, and nothing half-made."""

import pytest

from fixtures.power import Power

TIMELINE = "pageserver/timelines/*"
STEPS = [
    ("write", "catalog.db-wal", 1),  # The new timeline's name in the catalog.
    ("mkdir", TIMELINE, 1),
    ("rename", TIMELINE + "/manifest", 1),
    ("rename", "safekeeper/*", 1),
    ("sync", "catalog.db-wal", 4),  # The branch moves: before it is durable, and after.
    ("sync", "catalog.db-wal", 4),
    ("unlink", TIMELINE + "/manifest", 1),  # The old timeline goes.
    ("rename", "safekeeper/*.deleted", 1),
]


def timelines(platform):
    """How many there are in the pageserver and in the safekeeper."""
    return [len(list((platform.home / folder).iterdir())) for folder in ("pageserver/timelines", "safekeeper")]


@pytest.mark.timeout(300)
def test_a_restore_that_is_killed_is_done_or_not_begun():
    with Power.running("restore") as (power, platform):
        project = platform.create_project()
        project.query("create table t as select 1 as i")
        project.create_branch("dev")
        whole, outcomes = timelines(platform), set()
        for number, (step, path, count) in enumerate(STEPS):
            project.query("insert into t values (%s)", number, branch="dev")
            before = project.query("select count(*) from t", branch="dev")
            pid = platform.pid()
            power.cut_at(step, path, count, after=bool(number % 2))
            platform.cli("branches", "reset", "dev", "--project", project.id, check=False)
            platform.kill_pid(pid)
            power.disarm()
            power.lose(number)
            platform.up()
            after = project.query("select count(*) from t", branch="dev")
            assert after in (before, [(1,)]), f"{step} {path}"
            outcomes.add(after == [(1,)])
            assert timelines(platform) == whole, f"{step} {path}: something is half made"
            print(f"{step} {path}: {'done' if after == [(1,)] else 'not begun'}", flush=True)
        assert outcomes == {True, False}, "the steps are on both sides of the move"
        platform.check_storage()
