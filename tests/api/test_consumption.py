"""What was used, by hours, days and months: as the official document has it, and true."""

import datetime
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest

from fixtures.platform import wait_until

NOW = datetime.datetime.now(datetime.timezone.utc)
METRICS = ["compute_unit_seconds", "root_branch_bytes_month", "public_network_transfer_bytes"]


def ago(**time):
    return (NOW - datetime.timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def ask(platform, recorder):
    """Called with a path below /consumption_history and a query: status and answer."""
    def ask(path, **query):
        query = {"from": ago(hours=2), "to": ago(hours=-1), "granularity": "hourly", **query}
        url = f"{recorder.url}/consumption_history/{path}?{urllib.parse.urlencode(query, doseq=True)}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {platform.api_key()}"})) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
    return ask


def frames(entry):
    return [frame for period in entry["periods"] for frame in period["consumption"]]


def test_what_projects_have_used(project, ask):
    project.query("CREATE TABLE t AS SELECT generate_series(1, 100000) a")

    def written():
        status, answer = ask("projects", project_ids=project.id)
        assert status == 200 and [entry["project_id"] for entry in answer["projects"]] == [project.id]
        return sum(frame["written_data_bytes"] for frame in frames(answer["projects"][0])) > 5_000_000

    wait_until(written, what="the use to be counted")
    for granularity, since in (("daily", {"days": 59}), ("monthly", {"days": 300})):
        status, answer = ask("projects", project_ids=project.id, granularity=granularity, **{"from": ago(**since)})
        assert status == 200 and sum(frame["written_data_bytes"] for frame in frames(answer["projects"][0])) > 5_000_000


def test_pages_end(platform, project, ask):
    other = platform.create_project("other")
    try:
        seen, cursor = [], ""
        while True:
            _, answer = ask("projects", limit=1, **({"cursor": cursor} if cursor else {}))
            if not answer["projects"]:
                break
            seen += [entry["project_id"] for entry in answer["projects"]]
            cursor = answer["pagination"]["cursor"]
        assert {project.id, other.id} <= set(seen) and len(seen) == len(set(seen))
    finally:
        other.delete()


def test_the_second_style_has_metrics_of_projects_and_branches(platform, project, ask):
    organization = platform.api("GET", f"/api/v2/projects/{project.id}")["project"]["org_id"]
    project.query("SELECT pg_sleep(0.1)")
    project.create_branch("child")

    def counted():
        status, answer = ask("v2/projects", project_ids=[project.id, "no-such-project"], org_id=organization, metrics=METRICS)
        assert status == 200, answer
        values = {value["metric_name"] for frame in frames(answer["projects"][0]) for value in frame["metrics"]}
        return values == set(METRICS)

    wait_until(counted, what="the use to be counted")
    status, answer = ask("v2/branches", project_ids=project.id, org_id=organization, metrics=",".join([*METRICS, "child_branch_bytes_month"]))
    assert status == 200 and len(answer["branches"]) == 2
    kinds = [{value["metric_name"] for frame in frames(entry) for value in frame["metrics"]} for entry in answer["branches"]]
    assert not any({"root_branch_bytes_month", "child_branch_bytes_month"} <= kind for kind in kinds)


def test_ranges_that_are_not_kept_are_refused(ask):
    assert ask("projects", **{"from": ago(days=9)})[0] == 406
    assert ask("projects", **{"from": ago(hours=0), "to": ago(hours=5)})[0] == 406
    status, answer = ask("projects", granularity="weekly")
    assert status == 400 and "granularity" in answer["message"]
    status, answer = ask("v2/branches", metrics="compute_unit_seconds")
    assert status == 400 and "project_ids" in answer["message"]
