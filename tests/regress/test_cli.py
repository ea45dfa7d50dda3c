"""The commands as a newcomer meets them; what they say when something is wrong is in test_errors.py."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import psycopg2
import pytest

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


def commands_below(*words):
    """All commands that do something, as the completion of words finds them."""
    offered = subprocess.run([BIN, "__complete", *words, ""], text=True, capture_output=True, check=True).stdout
    below = [line.split("\t")[0] for line in offered.splitlines()]
    is_group = below and "Subcommands:" in help_of(*words)
    return [command for name in below for command in commands_below(*words, name)] if is_group else [words]


def help_of(*command):
    return subprocess.run([BIN, *command, "--help"], text=True, capture_output=True, check=True).stdout


def test_every_command_has_help_with_examples():
    assert "halogen up --detach" in help_of()
    commands = commands_below()
    assert len(commands) > 35
    for command in commands:
        assert re.search(r"Examples?:\n  ", help_of(*command)), command
    for command in [("projects", "create"), ("branches", "list"), ("connection-string",), ("operations", "list")]:
        assert "\nneonctl: " in help_of(*command), command


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


def cli_in(platform, folder, *words, **environment):
    """`halogen <words>` in this folder: what it returned, printed and said."""
    return subprocess.run([BIN, *words], cwd=folder, env={**platform.env, "HOME": "/home/nobody", **environment}, text=True,
                          capture_output=True, timeout=60)


def test_a_project_in_use_needs_no_option(project, platform, tmp_path):
    other = platform.create_project("other")
    try:
        project.create_branch("dev")
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        several = cli_in(platform, tmp_path, "branches", "list")
        assert several.returncode == 1 and "halogen use PROJECT" in several.stderr
        assert cli_in(platform, tmp_path, "use", project.id, "dev").returncode == 0
        assert json.loads((tmp_path / ".neon").read_text())["projectId"] == project.id
        listed = cli_in(platform, below, "branches", "list")
        assert "dev" in listed.stdout and "main" in listed.stdout, listed.stderr
        string = cli_in(platform, below, "connection-string").stdout.strip()
        assert project.endpoint("dev") in string
        by_environment = cli_in(platform, below, "branches", "list", HALOGEN_PROJECT=other.id)
        assert "dev" not in by_environment.stdout and "main" in by_environment.stdout
        by_option = cli_in(platform, below, "connection-string", "--project", other.id)
        assert other.endpoint() in by_option.stdout, "the branch in use is another project's"
        gone = cli_in(platform, below, "branches", "list", HALOGEN_PROJECT="no-such-project")
        assert gone.returncode == 1 and "HALOGEN_PROJECT" in gone.stderr
        assert cli_in(platform, below, "use", "--clear").returncode == 0
        assert not (tmp_path / ".neon").exists()
    finally:
        other.delete()


def test_operations_endpoints_and_metrics_are_shown(project, platform):
    operations = json.loads(platform.cli("operations", "list", "--project", project.id, "--json"))
    assert operations
    one = json.loads(platform.cli("operations", "get", operations[0]["id"], "--project", project.id, "--json"))
    assert one["id"] == operations[0]["id"]
    assert project.endpoint() in platform.cli("endpoints", "list", "--project", project.id)
    assert json.loads(platform.cli("endpoints", "get", "--project", project.id, "--json"))["id"] == project.endpoint()
    platform.cli("endpoints", "restart", project.endpoint(), "--project", project.id)
    assert project.query("select 1") == [(1,)]
    samples = json.loads(platform.cli("metrics", "proxy", "--json"))
    assert samples and all("proxy" in sample["name"] for sample in samples)
    assert "# TYPE" in platform.cli("metrics", "--raw")


def completed(shell, script, platform):
    return subprocess.run([shell, "-c", script], env={**platform.env, "PATH": f"{BIN.parent}:{os.environ['PATH']}"}, text=True,
                          capture_output=True, check=True).stdout.split()


def test_bash_completes_commands_and_names(project, platform):
    def offered(*words):
        line = " ".join(words)
        script = f'''eval "$(halogen completion bash)"; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _halogen; printf '%s\\n' "${{COMPREPLY[@]}}"'''
        return completed("bash", script, platform)

    assert offered("halogen", "br") == ["branches"]
    assert "main" in offered("halogen", "branches", "get", "--project", project.id, "''")
    assert project.endpoint() in offered("halogen", "endpoints", "get", "--project", project.id, "ep")


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


def test_api_keys_are_made_listed_and_revoked(project, platform):
    def answered_with(key):
        request = urllib.request.Request(f"http://127.0.0.1:{platform.http_port}/api/v2/projects/{project.id}",
                                         headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def listed(*of):
        return {key["name"]: key["id"] for key in json.loads(platform.cli("api-keys", "list", *of, "--json"))}

    for of in ([], ["--org"], ["--project", project.id]):
        key = platform.cli("api-keys", "create", "--name", "ci", *of).strip()
        assert key.startswith("napi_") and answered_with(key) == 200
        assert "ci" in listed(*of) and "ci" in platform.cli("api-keys", "list", *of)
        assert all("ci" not in listed(*other) for other in ([], ["--org"], ["--project", project.id]) if other != of)
        platform.cli("api-keys", "revoke", str(listed(*of)["ci"]), *of)
        assert answered_with(key) == 401 and "ci" not in listed(*of)


def test_members_are_invited_given_roles_and_removed(platform):
    def members():
        return {one["user"]["email"]: one["member"]["role"] for one in json.loads(platform.cli("members", "list", "--json"))}

    token = platform.cli("members", "invite", "eve@example.com", "--role", "editor").strip()
    assert "eve@example.com" in platform.cli("members", "invitations")
    platform.cli("members", "withdraw", "eve@example.com")
    platform.api("POST", "/api/v2/invitations/accept", {"token": token}, status=404)
    token = platform.cli("members", "invite", "eve@example.com").strip()
    platform.api("POST", "/api/v2/invitations/accept", {"token": token}, status=201)
    assert members()["eve@example.com"] == "viewer" and "eve@example.com" in platform.cli("members", "list")
    platform.cli("members", "role", "eve@example.com", "admin")
    assert members()["eve@example.com"] == "admin"
    platform.cli("members", "remove", "eve@example.com")
    assert "eve@example.com" not in members()
    assert "not found" in platform.cli("members", "remove", "eve@example.com", check=False).stderr


def test_snapshots_are_taken_restored_scheduled_and_deleted(project, platform):
    def snapshots(command, *words):
        return platform.cli("snapshots", command, *words, "--project", project.id)

    project.query("CREATE TABLE t AS SELECT 1 a")
    id = snapshots("create", "--name", "before").strip()
    project.query("DROP TABLE t")
    assert id in snapshots("list") and "before" in snapshots("list")
    assert json.loads(snapshots("restore", "before", "--name", "look", "--json"))["name"] == "look"
    snapshots("restore", id, "--target", "main", "--finalize")
    assert project.query("SELECT a FROM t") == [(1,)]
    schedule = json.loads(snapshots("schedule", "--every", "daily", "--hour", "3", "--keep-days", "2", "--json"))
    assert schedule == [{"frequency": "daily", "hour": 3, "retention_seconds": 172800}]
    assert "2 days" in snapshots("schedule")
    assert json.loads(snapshots("schedule", "--off", "--json")) == []
    snapshots("delete", "before")
    assert id not in snapshots("list")
    assert "no snapshot before" in platform.cli("snapshots", "delete", "before", "--project", project.id, check=False).stderr


def test_schemas_are_compared(project, platform):
    project.query("CREATE TABLE t (a int)")
    project.create_branch("dev")
    lsn = project.query("SELECT pg_current_wal_lsn()::text", branch="dev")[0][0]
    project.query("ALTER TABLE t ADD COLUMN b text", branch="dev")
    words = ["--project", project.id]
    for base in ([], ["--base", "main"], ["--base", f"^self@{lsn}"]):
        difference = platform.cli("schema-diff", "dev", *base, *words)
        assert "+    b text" in difference, (base, difference)
    assert json.loads(platform.cli("schema-diff", f"dev@{lsn}", "--database", "neondb", "--json", *words)) == [{"database": "neondb", "diff": ""}]
    assert "has no parent" in platform.cli("schema-diff", "main", *words, check=False).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may listen there")
def test_root_serves_the_api_on_a_low_port():
    with Platform.home_folder("low") as home:
        platform = Platform(home, free_port(), next(filter(is_free, range(850, 1023))))
        try:
            platform.up()
            assert platform.api("GET", "/api/v2/projects")["projects"]
            # The user that it became could not have done that.
            assert os.stat(f"/proc/{platform.pid()}").st_uid != 0
        finally:
            platform.down(check=False)


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
