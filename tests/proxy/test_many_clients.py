"""As many clients as one endpoint must take, through the events that pooled clients do not hear of."""

import time

from fixtures.many import Clients

MANY = 10_000
ENDPOINTS = 20
TOGETHER = 5  # Endpoints whose computes run at a time.
NOTHING_WRONG = {"errors": 0, "first_error": ""}


def well(answer):
    return {name: answer[name] for name in NOTHING_WRONG} == NOTHING_WRONG or answer


def test_ten_thousand_are_held_through_suspends_and_wakes(project):
    with Clients(MANY, [project.connection_string(pooled=True)]) as clients:
        assert well(clients.connected) is True
        for _ in range(2):
            project.suspend()
            time.sleep(1)
            assert project.compute()["state"] == "idle"  # Clients that are only there wake nothing.
            assert clients.tell("check")["disturbed"] == 0
            assert well(clients.tell("all")) is True
        assert well(clients.tell("query 2 8")) is True


def test_thousands_who_arrive_at_a_sleeping_endpoint_cause_one_wake(project, platform):
    project.query("select 1")
    project.suspend()
    log = platform.log_file
    before = log.stat().st_size
    with Clients(1000, [project.connection_string(pooled=True)]) as clients:
        assert well(clients.connected) is True
        assert well(clients.tell("all")) is True
    with open(log, errors="replace") as file:
        file.seek(before)
        endpoint = project.endpoint()
        wakes = [line for line in file if endpoint in line and "compute started in" in line]
    assert len(wakes) <= 1, wakes


def test_ten_thousand_clients_of_many_endpoints(platform):
    """Computes run for a few endpoints at a time; the clients of all stay."""
    projects, groups = [], []
    try:
        for _ in range(ENDPOINTS // TOGETHER):
            group = [platform.create_project(f"one of many {len(projects) + i}") for i in range(TOGETHER)]
            projects += group
            groups.append(Clients(MANY // ENDPOINTS * TOGETHER, [project.connection_string(pooled=True) for project in group]))
            assert well(groups[-1].connected) is True
            for project in group:
                project.suspend()
        for clients in groups[0], groups[-1]:
            assert well(clients.tell("all")) is True
        assert [clients.tell("check")["disturbed"] for clients in groups] == [0] * len(groups)
        asleep = {project.endpoint() for project in projects[TOGETHER:-TOGETHER]}
        states = [compute["state"] for compute in platform.status()["computes"] if compute["endpoint"] in asleep]
        assert states == ["idle"] * len(asleep)
    finally:
        for clients in groups:
            clients.__exit__()
        for project in projects:
            project.delete()
