"""The commands as a newcomer meets them; what they say when something is wrong is in test_errors.py."""

import json
import os
import signal
import subprocess

import psycopg2

from fixtures.platform import BIN, Platform, free_port


def test_status_tells_where_everything_is(platform):
    status = platform.status()
    assert status["pg_port"] == platform.pg_port and status["home"] == str(platform.home)
    assert status["pg_host"] == "127.0.0.1" and status["api_url"] == status["http_url"] + "/api/v2"
    assert os.path.exists(status["ca_file"])
    states = {component["name"]: component["state"] for component in status["components"]}
    assert states == dict.fromkeys(["memory", "safekeeper", "pageserver", "compute", "control", "proxy"], "running")
    table = platform.cli("status")
    assert status["ca_file"] in table and "safekeeper" in table


def test_every_command_has_help_and_those_with_choices_have_examples():
    def help_of(*command):
        return subprocess.run([BIN, *command, "--help"], text=True, capture_output=True, check=True).stdout

    assert "halogen up --detach" in help_of()
    for command in ["up", "psql", "connection-string"]:
        assert "Example:" in help_of(command), command
    for command in [("projects", "create"), ("projects", "delete"), ("branches", "create"), ("branches", "restore")]:
        assert "Example:" in help_of(*command), command
    for command in [["down"], ["status"], ["logs"], ["suspend"], ["wake"], ["projects", "list"], ["branches", "list"],
                    ["branches", "delete"]]:
        assert help_of(*command), command


def test_projects_and_branches_are_listed_by_name_and_as_json(project, platform):
    project.create_branch("dev")
    assert project.id in platform.cli("projects", "list")
    assert [p for p in json.loads(platform.cli("projects", "list", "--json")) if p["id"] == project.id]
    assert "dev" in platform.cli("branches", "list", "--project", project.id)
    names = {branch["name"] for branch in json.loads(platform.cli("branches", "list", "--project", project.id, "--json"))}
    assert names == {"main", "dev"}


def test_the_connection_string_is_alone_on_standard_output(project, platform):
    direct, pooled = (platform.cli("connection-string", "--project", project.id, *more) for more in ([], ["--pooled"]))
    assert direct.startswith("postgresql://") and direct.count("\n") == 1
    assert pooled == direct.replace(project.endpoint(), project.endpoint() + "-pooler")
    as_json = json.loads(platform.cli("connection-string", "--project", project.id, "--json"))
    assert as_json["uri"] == direct.strip()


def test_psql_passes_on_what_follows(project, platform):
    assert platform.cli("psql", "--project", project.id, "--", "-At", "-c", "select 6 * 7") == "42\n"


def test_suspend_and_wake(project, platform):
    project.wake()
    assert project.compute()["state"] == "active"
    project.suspend()
    assert project.compute()["state"] == "idle"


def test_logs_shows_the_last_lines(platform):
    assert len(platform.cli("logs", "-n", "3").splitlines()) == 3


def test_up_in_the_foreground_prints_the_string_and_stops_on_ctrl_c():
    with Platform.home_folder("foreground") as home:
        up = subprocess.Popen([BIN, "up", "--pg-port", str(free_port()), "--http-port", str(free_port())],
                              env=dict(os.environ, HALOGEN_HOME=home), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        string = up.stdout.readline().strip()
        psycopg2.connect(string).close()
        up.send_signal(signal.SIGINT)
        out, err = up.communicate(timeout=60)
        assert up.returncode == 0 and out == ""
        assert "verify-full" in err and "Ctrl-C" in err
        status = subprocess.run([BIN, "status"], env=dict(os.environ, HALOGEN_HOME=home), text=True, capture_output=True)
        assert status.returncode == 3 and "halogen up" in status.stdout
