"""The id of a connection, or of a request, is in what is logged for it in every layer, in both forms of the log."""

import json
import re

import pytest

from fixtures.platform import Platform, wait_until

LAYERS = {"proxy", "control", "compute", "safekeeper", "pageserver"}


@pytest.fixture(scope="module", params=["text", "json"])
def talkative(request):
    """A platform that logs for whoever debugs."""
    environment = {"HALOGEN_LOG": "debug", "HALOGEN_LOG_FORMAT": request.param}
    with Platform.create("logs", environment=environment) as platform:
        platform.format = request.param
        yield platform


def lines_of(platform, id):
    return [json.loads(line) for line in platform.cli("logs", "--id", id, "--json").splitlines()]


def test_a_connection_is_followed_from_the_proxy_to_storage(talkative):
    project = talkative.create_project()
    project.query("select 1")
    project.suspend()
    with project.connect() as connection:
        connection.cursor().execute("select 1")
        endpoint = f"/api/v2/projects/{project.id}/endpoints/{project.endpoint()}"
        [client] = talkative.api("GET", f"{endpoint}/pooler?clients=1")["pooler"]["client_list"]
    wait_until(lambda: LAYERS <= {line["component"] for line in lines_of(talkative, client["id"])}, what="lines of all layers")


def test_a_request_of_the_api_is_followed_likewise(talkative):
    project = talkative.create_project()
    before = talkative.log_text()
    project.wake()
    wait_until(lambda: "compute started" in talkative.log_text()[len(before):], what="a start")
    started = [json.loads(line) for line in talkative.cli("logs", "-n", "50", "--json").splitlines()
               if "compute started" in line][-1]
    assert len(started["id"]) == 36
    assert {"control", "compute", "safekeeper"} <= {line["component"] for line in lines_of(talkative, started["id"])}


def test_every_line_is_of_the_form_that_was_asked_for(talkative):
    for line in talkative.log_text().splitlines():
        if talkative.format == "json":
            parsed = json.loads(line)
            assert {"time", "level", "component", "message"} <= set(parsed) <= {"time", "level", "component", "message", "id"}
        else:
            assert re.match(r"\d{4}-\d\d-\d\dT\S+Z (DEBUG|INFO |WARN |ERROR) \[\w+\] ", line), line
