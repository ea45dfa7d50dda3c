"""What branches use is counted, shown, and outlives a restart and kill -9."""

import json

from fixtures.platform import wait_until

FIELDS = ("active_time_seconds", "compute_time_seconds", "written_data_bytes", "data_transfer_bytes")
MEGABYTE = 1 << 20


def branch_usage(project):
    [branch] = project.platform.api("GET", f"/api/v2/projects/{project.id}/branches")["branches"]
    return branch


def project_usage(project):
    return project.platform.api("GET", f"/api/v2/projects/{project.id}")["project"]


def use_it(project):
    """Writes at least 4 MB and reads at least 2."""
    with project.connect() as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("create table if not exists used (t text); "
                       "insert into used select repeat(md5(i::text), 30) from generate_series(1, 4096) i")
        cursor.execute("select t from used limit 4096")
        cursor.fetchall()


def test_use_is_counted_and_survives_a_suspend_kill_9_and_a_restart(own_platform):
    project = own_platform.create_project()
    before = branch_usage(project)
    use_it(project)

    def counted():
        usage = branch_usage(project)
        written = usage["written_data_bytes"] - before["written_data_bytes"]
        return usage if written > 4 * MEGABYTE and usage["data_transfer_bytes"] > 2 * MEGABYTE else None

    usage = wait_until(counted, what="counting")
    assert usage["data_transfer_bytes"] < 16 * MEGABYTE
    wait_until(lambda: branch_usage(project)["active_time_seconds"] >= 4, what="active time")
    seen = branch_usage(project)
    own_platform.kill()
    own_platform.up()
    after = branch_usage(project)
    assert all(after[field] >= seen[field] for field in FIELDS), (seen, after)
    project.suspend()
    written = wait_until(lambda: branch_usage(project), what="usage")["written_data_bytes"]
    use_it(project)
    wait_until(lambda: branch_usage(project)["written_data_bytes"] > written + 4 * MEGABYTE, what="what came after the crash")
    last = branch_usage(project)
    own_platform.down()
    own_platform.up()
    after = branch_usage(project)
    assert all(after[field] >= last[field] for field in FIELDS), (last, after)
    listed = json.loads(own_platform.cli("usage", "--project", project.id, "--json"))
    assert listed["branches"][0]["written_data_bytes"] >= after["written_data_bytes"]
    whole = project_usage(project)
    assert all(whole[field] >= after[field] for field in FIELDS), (whole, after)
    assert whole["active_time_seconds"] < 600 and whole["consumption_period_start"].endswith("-01T00:00:00Z")
    own_platform.expect_log("ended unexpectedly|killed")
