"""kill -9 in the middle of each kind of operation: afterwards it is done or taken back, and says so."""

import threading
import time
import urllib.error

import pytest

from fixtures.platform import Platform, Project, wait_until

DELAYS = (0.0, 0.012, 0.05)  # Seconds from the request to the kill.


class Case:
    """Requests of one project, sent when somebody is about to kill the platform."""

    def __init__(self, platform):
        self.platform = platform
        made = platform.api("POST", "/api/v2/projects", {"project": {"name": "killed"}})
        self.id = made["project"]["id"]
        self.path = f"/api/v2/projects/{self.id}"
        self.main = f"{self.path}/branches/{made['branch']['id']}"
        self.branch_id = made["branch"]["id"]
        self.project = Project(platform, self.id)

    def new_branch(self, name):
        body = {"branch": {"name": name}, "endpoints": [{"type": "read_write"}]}
        return self.platform.api("POST", f"{self.path}/branches", body)["branch"]["id"]

    def requests(self, number):
        """Each kind, with what it needs made before."""
        def post(path, body):
            return "POST", path, body

        doomed = self.new_branch(f"doomed{number}")
        reset = self.new_branch(f"reset{number}")
        for name in (f"gone{number}", f"forgetful{number}"):
            self.platform.api("POST", f"{self.main}/roles", {"role": {"name": name}})
        self.platform.api("POST", f"{self.main}/databases", {"database": {"name": f"old{number}", "owner_name": "neondb_owner"}})
        return {
            "create a project": post("/api/v2/projects", {"project": {"name": f"new{number}"}}),
            "create a project with names": post("/api/v2/projects", {"project": {"name": f"named{number}", "branch": {
                "role_name": "somebody", "database_name": "something"}}}),
            "create a branch": post(f"{self.path}/branches", {"branch": {"name": f"b{number}"}}),
            "delete a branch": ("DELETE", f"{self.path}/branches/{doomed}", None),
            "reset a branch": post(f"{self.path}/branches/{reset}/restore", {"source_branch_id": self.branch_id}),
            "create a role": post(f"{self.main}/roles", {"role": {"name": f"r{number}"}}),
            "create a database": post(f"{self.main}/databases",
                                      {"database": {"name": f"d{number}", "owner_name": "neondb_owner"}}),
            "reset a password": post(f"{self.main}/roles/forgetful{number}/reset_password", {}),
            "delete a role": ("DELETE", f"{self.main}/roles/gone{number}", None),
            "rename a database": ("PATCH", f"{self.main}/databases/old{number}", {"database": {"name": f"renamed{number}"}}),
            "add an endpoint": post(f"{self.path}/endpoints", {"endpoint": {"branch_id": self.branch_id, "type": "read_only"}}),
        }


    def check_roles(self):
        """Each is there once, and its password is told and works."""
        names = [one["name"] for one in self.platform.api("GET", f"{self.main}/roles")["roles"]]
        assert len(names) == len(set(names))
        for name in names:
            password = self.platform.api("GET", f"{self.main}/roles/{name}/reveal_password")["password"]
            self.project.connect(user=name, password=password).close()

    def check_databases(self, number):
        """One that was to be renamed is there by one of its names."""
        names = [one["name"] for one in self.platform.api("GET", f"{self.main}/databases")["databases"]]
        assert len(names) == len(set(names))
        assert (f"old{number}" in names) != (f"renamed{number}" in names)


def check_named(platform):
    """A project that was to have names of its own is not there, or has them."""
    for project in platform.api("GET", "/api/v2/projects?search=named")["projects"]:
        connection = Project(platform, project["id"]).connect()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database()")
            assert cursor.fetchone() == ("somebody", "something")
        connection.close()


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
    wait_until(lambda: not unfinished(platform), what=f"{what}: the end of all operations")
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
            case.check_roles()
            case.check_databases(number)
        check_named(platform)
        platform.check_storage()


def test_a_role_whose_statement_waits_is_told_at_once_and_made_after_a_kill():
    with Platform.create("waits") as platform:
        case = Case(platform)
        case.project.query("SELECT 1")
        blocker = case.project.superuser()
        with blocker.cursor() as cursor:
            cursor.execute("BEGIN; LOCK TABLE pg_authid IN SHARE MODE")
        made = platform.api("POST", f"{case.main}/roles", {"role": {"name": "patient"}}, status=201)
        operation = made["operations"][0]
        assert operation["status"] == "running"
        platform.api("POST", f"{case.main}/roles", {"role": {"name": "other"}}, status=423)
        assert operation["id"] in [one["id"] for one in platform.api("GET", f"{case.path}/operations")["operations"]]
        platform.kill()
        blocker.close()
        platform.up()
        path = f"{case.path}/operations/{operation['id']}"
        ended = wait_until(lambda: (now := platform.api("GET", path)["operation"])["status"] != "running" and now,
                           what="the end of the operation")
        assert ended["status"] == "finished", ended
        password = made["role"]["password"]
        assert platform.api("GET", f"{case.main}/roles/patient/reveal_password")["password"] == password
        case.project.connect(user="patient", password=password).close()
