"""A tenant's settings: an allow-list with ranges, and nothing that the platform needs for itself.

Each attack comes through the API or SQL, and works on a platform without the settings guard.
"""

import contextlib
import json
import os
import signal
import urllib.error

import psycopg2
import pytest

from fixtures.platform import Platform, Project, wait_until


def refusal(platform, project, **settings):
    """The API's message if it refuses these settings; None if it takes them, and then they are removed."""
    try:
        platform.patch_endpoint(project, settings={"pg_settings": settings})
    except urllib.error.HTTPError as error:
        assert error.code == 400
        return json.loads(error.read())["message"]
    platform.patch_endpoint(project, settings={"pg_settings": {}})


def endpoint(platform, project):
    return platform.api("GET", f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}")["endpoint"]


@pytest.fixture
def restart(guarded, unguarded):
    """Called with a platform and settings: its attacker's compute starts with them, and without them after the test."""
    used = []

    def restart(platform, **settings):
        used.append(platform)
        platform.patch_endpoint(platform.project, settings={"pg_settings": settings})
        platform.project.suspend()
        platform.project.wake()

    yield restart
    for platform in set(used):
        restart(platform)


@pytest.mark.parametrize("setting, value, named", [
    ("archive_command", "id", "is not a setting that an endpoint may have"),
    ("archive_library", "mine", "is not a setting"),
    ("ssl_passphrase_command", "id", "is not a setting"),
    ("session_preload_libraries", "mine", "is not a setting"),
    ("superuser_reserved_connections", "0", "is not a setting"),
    ("max_slot_wal_keep_size", "1MB", "is not a setting"),
    ("wal_sender_timeout", "1ms", "is not a setting"),
    ("track_activities", "off", "is not a setting"),
    ("max_replication_slots", "0", "must be a whole number from 5 to 100"),
    ("max_connections", "many", "must be a whole number from 10 to 2000"),
    ("shared_buffers", "900GB", "must be a whole number from 128kB to 2097152kB"),
    ("shared_preload_libraries", "basebackup_to_shell", "must be a list of auto_explain, "),
    ("jit", "maybe", "must be on or off"),
    ("no_such_setting", "1", "is not a setting"),
])
def test_the_api_refuses_what_is_not_allowed_and_says_what_is(guarded, unguarded, setting, value, named):
    message = refusal(guarded, guarded.project, **{setting: value})
    assert message.startswith(f"pg_settings.{setting} ") and named in message
    assert "settings" in endpoint(guarded, guarded.project) and not endpoint(guarded, guarded.project)["settings"]["pg_settings"]
    free = unguarded("settings_guard")
    assert refusal(free, free.project, **{setting: value}) is None


def program_run(platform, restart):
    """Whether a program that the tenant named in a setting runs in its compute."""
    with contextlib.suppress(urllib.error.HTTPError):
        restart(platform, archive_mode="on", archive_command="echo ran > archived.txt; false", archive_timeout="1s")
        platform.project.query("CREATE TABLE archived AS SELECT 1")
        with contextlib.closing(platform.project.superuser()) as admin, admin.cursor() as cursor:
            cursor.execute("SELECT pg_switch_wal()")

            def ran():
                cursor.execute("SELECT size IS NOT NULL FROM pg_stat_file('archived.txt', true)")
                return cursor.fetchone()[0]

            return wait_until(ran, what="the archive command")
    return False


def test_no_setting_runs_a_program(guarded, unguarded, restart):
    assert not program_run(guarded, restart)
    assert program_run(unguarded("settings_guard"), restart)


def test_the_settings_that_are_allowed_count_from_the_next_start(guarded, restart):
    restart(guarded, max_connections="0x40", work_mem="1.5MB", Statement_Timeout=" 5 min ", jit=False, wal_level="LOGICAL",
            shared_preload_libraries="pg_stat_statements", **{"pg_stat_statements.track": "all"})
    names = ["max_connections", "work_mem", "statement_timeout", "jit", "wal_level", "pg_stat_statements.track"]
    values = [guarded.project.query(f"SHOW {name}")[0][0] for name in names]
    assert values == ["64", "1536kB", "5min", "off", "logical", "all"]


@pytest.fixture
def pulling():
    """A platform whose computes' WAL is pulled, by a replication slot of theirs."""
    with Platform.create("pulling", "--unsafe-without=settings_guard", "--wal=pull") as platform:
        yield platform


def test_a_compute_that_storage_cannot_follow_is_said_and_not_only_waited_for(pulling):
    """Seen before: the next write hung for ever, without a line anywhere."""
    platform, project = pulling, pulling.create_project()
    project.query("SELECT 1")
    platform.set_pg_setting(project, "max_replication_slots", "0")
    project.suspend()
    project.wake()
    problem = wait_until(lambda: project.compute().get("problem"), what="a problem in the status")
    assert "all replication slots are in use" in problem and "(53400)" in problem
    assert "cannot receive WAL" in platform.log_text() and "so commits wait" in platform.log_text()
    platform.patch_endpoint(project, settings={"pg_settings": {}})
    os.kill(project.compute()["pid"], signal.SIGQUIT)  # It cannot be suspended: its last WAL would be lost.
    project.query("CREATE TABLE written AS SELECT 1")
    assert project.compute()["problem"] == ""


def test_what_an_older_release_stored_is_ignored_and_shown():
    """As an upgrade finds it: settings that were taken once and are not allowed today."""
    with Platform.home_folder("upgraded") as home:
        with Platform.running(home, "--unsafe-without=settings_guard") as platform:
            project = platform.create_project("upgraded")
            platform.patch_endpoint(project, settings={"pg_settings": {"max_replication_slots": "0", "work_mem": "8MB"}})
        with Platform.running(home) as platform:
            project = Project(platform, project.id)
            assert project.query("SELECT current_setting('work_mem'), current_setting('max_replication_slots')") == [("8MB", "10")]
            settings = endpoint(platform, project)["settings"]
            assert settings["pg_settings"]["max_replication_slots"] == "0"
            assert "from 5 to 100" in settings["pg_settings_ignored"]["max_replication_slots"]
            assert "ignoring a stored setting: pg_settings.max_replication_slots must be" in platform.log_text()


@pytest.mark.parametrize("sql", [
    "ALTER SYSTEM SET max_replication_slots = 0",
    "SET synchronous_standby_names = ''",
    "ALTER ROLE neondb_owner SET track_activities = off",
    "ALTER DATABASE neondb SET session_preload_libraries = 'mine'",
    "ALTER DATABASE neondb SET log_min_messages = 'panic'",
    "ALTER DATABASE neondb SET zero_damaged_pages = on",
])
def test_sql_changes_no_setting_of_the_platform(guarded, sql):
    with contextlib.closing(guarded.project.connect()) as connection, connection.cursor() as cursor:
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.CantChangeRuntimeParam)):
            cursor.execute(sql)
