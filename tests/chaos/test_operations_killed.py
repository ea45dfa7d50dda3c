"""kill -9 in the middle of each kind of operation: afterwards it is done or taken back, and says so."""

import threading
import time
import urllib.error

import pytest

from fixtures.platform import Platform

DELAYS = (0.0, 0.01, 0.03, 0.08)  # Seconds from the request to the kill.


class Case:
    """Requests of one project, sent when somebody is about to kill the platform."""

    def __init__(self, platform):
        self.platform = platform
        made = platform.api("POST", "/api/v2/projects", {"project": {"name": "killed"}})
        self.id = made["project"]["id"]
        self.path = f"/api/v2/projects/{self.id}"
        self.main = f"{self.path}/branches/{made['branch']['id']}"
        self.branch_id = made["branch"]["id"]

    def new_branch(self, name):
        body = {"branch": {"name": name}, "endpoints": [{"type": "read_write"}]}
        return self.platform.api("POST", f"{self.path}/branches", body)["branch"]["id"]

    def requests(self, number):
        """Each kind, with what it needs made before."""
        def post(path, body):
            return "POST", path, body

        doomed = self.new_branch(f"doomed{number}")
        reset = self.new_branch(f"reset{number}")
        return {
            "create a project": post("/api/v2/projects", {"project": {"name": f"new{number}"}}),
            "create a branch": post(f"{self.path}/branches", {"branch": {"name": f"b{number}"}}),
            "delete a branch": ("DELETE", f"{self.path}/branches/{doomed}", None),
            "reset a branch": post(f"{self.path}/branches/{reset}/restore", {"source_branch_id": self.branch_id}),
            "create a role": post(f"{self.main}/roles", {"role": {"name": f"r{number}"}}),
            "create a database": post(f"{self.main}/databases",
                                      {"database": {"name": f"d{number}", "owner_name": "neondb_owner"}}),
            "add an endpoint": post(f"{self.path}/endpoints", {"endpoint": {"branch_id": self.branch_id, "type": "read_only"}}),
        }


def send(platform, request):
    try:
        platform.api(*request)
    except (urllib.error.URLError, ConnectionError, OSError):
        pass  # It was killed.


def unfinished(platform):
    found = []
    for project in platform.api("GET", "/api/v2/projects?limit=400")["projects"]:
        for one in platform.api("GET", f"/api/v2/projects/{project['id']}/operations")["operations"]:
            if one["status"] in ("scheduling", "running"):
                found.append((one["action"], one["status"]))
    return found


def state(platform):
    """All branches, and how many timelines there are in the pageserver and in the safekeeper beyond one for each."""
    branches = []
    for project in platform.api("GET", "/api/v2/projects?limit=400")["projects"]:
        branches += platform.api("GET", f"/api/v2/projects/{project['id']}/branches")["branches"]
    folders = [len(list((platform.home / name).iterdir())) for name in ("pageserver/timelines", "safekeeper")]
    return branches, [count - len(branches) for count in folders]


def check(platform, what, beyond):
    """Every branch that is listed is ready, nothing else is in storage, no operation hangs."""
    assert unfinished(platform) == [], what
    branches, now = state(platform)
    assert all(one["current_state"] == "ready" for one in branches), what
    assert now == beyond, f"{what}: something is half made"


@pytest.mark.timeout(600)
def test_an_operation_that_is_killed_is_done_or_taken_back():
    with Platform.create("killed") as platform:
        case = Case(platform)
        beyond = state(platform)[1]
        for number, delay in enumerate(DELAYS):
            for what, request in case.requests(number).items():
                thread = threading.Thread(target=send, args=(platform, request))
                thread.start()
                time.sleep(delay)
                platform.kill()
                thread.join()
                platform.up()
                check(platform, f"{what}, killed after {delay} s", beyond)
            # What may be there now may be made again, and is one.
            roles = [one["name"] for one in platform.api("GET", f"{case.main}/roles")["roles"]]
            assert len(roles) == len(set(roles))
        platform.check_storage()
