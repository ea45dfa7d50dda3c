"""Every route of the official document is answered honestly: as the document has it, or with an error in its shape."""

import json
import re
import urllib.error
import urllib.request

import pytest

from fixtures import openapi

NOT_HERE = "this server has no such resource: it is not available here"
UNKNOWN = "0f8fad5b-d9cb-469f-a165-70867728950e"
ORDER = ("get", "put", "patch", "post", "delete")

# In the document behind newer clients only.
NEWER = [
    ("GET", "/projects/{project_id}/members"),
    ("PUT", "/projects/{project_id}/members/{member_id}/role"),
    ("DELETE", "/projects/{project_id}/members/{member_id}/role"),
    ("POST", "/projects/{project_id}/branches/{branch_id}/logs/query"),
    ("GET", "/projects/{project_id}/branches/{branch_id}/logs/fields"),
    ("GET", "/projects/{project_id}/branches/{branch_id}/triggers"),
    ("GET", "/projects/{project_id}/branches/{branch_id}/custom-domains"),
    ("POST", "/projects/{project_id}/branches/{branch_id}/credentials/{token_id}/reveal"),
]


class Caller:
    """Sends requests to one project's routes, with that project's ids in the places of parameters."""

    def __init__(self, platform):
        self.platform = platform
        made = platform.api("POST", "/api/v2/projects", {"project": {"name": "every route"}})
        path = f"/api/v2/projects/{made['project']['id']}"
        child = platform.api("POST", f"{path}/branches", {"branch": {"name": "child"}})["branch"]
        self.ids = {
            "org_id": made["project"]["org_id"],
            "project_id": made["project"]["id"],
            "branch_id": child["id"],
            "endpoint_id": made["endpoints"][0]["id"],
            "operation_id": made["operations"][0]["id"],
            "role_name": "neondb_owner",
            "database_name": "neondb",
            "region_id": "local",
        }

    def path(self, template):
        return re.sub(r"\{([^}]+)\}", lambda name: self.ids.get(name[1], UNKNOWN), template)

    def __call__(self, method, template, body):
        """Status, type and text of the answer."""
        data = json.dumps(body).encode() if method in ("PUT", "PATCH", "POST") else None
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.platform.http_port}/api/v2{self.path(template)}", data, method=method,
            headers={"Authorization": f"Bearer {self.platform.api_key()}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture
def call(platform):
    before = {one["id"] for one in platform.api("GET", "/api/v2/projects?limit=400")["projects"]}
    keys = {one["id"] for one in platform.api("GET", "/api/v2/api_keys")}
    yield Caller(platform)
    for project in platform.api("GET", "/api/v2/projects?limit=400")["projects"]:
        if project["id"] not in before:
            platform.api("DELETE", f"/api/v2/projects/{project['id']}?hard_delete=true")
    for key in platform.api("GET", "/api/v2/api_keys"):
        if key["id"] not in keys:
            platform.api("DELETE", f"/api/v2/api_keys/{key['id']}")


def described_here(platform):
    """What our own document has: method and template, with parameters' names left out."""
    paths = platform.api("GET", "/api/v2/openapi.json")["paths"]
    return {(method, re.sub(r"\{[^}]+\}", "{}", path)) for path, methods in paths.items() for method in methods}


def official_routes():
    """Reading ones first, and what takes the most away last."""
    routes = [(method, template) for template, methods in openapi.document()["paths"].items()
              for method in methods if method in ORDER]
    return sorted(routes, key=lambda route: (ORDER.index(route[0]), -len(route[1]), route[1]))


def problems_of(call, method, template, body, offered):
    status, kind, text = call(method, template, body)
    what = f"{method} {template} with {body}: {status} {text[:200]}"
    if status >= 500:
        return [what]
    if status == 204:
        return [what] if text else []
    if kind != "application/json":
        return [f"{what}: of type {kind}"]
    answer = json.loads(text)
    if not offered and (status, answer.get("message")) != (404, NOT_HERE):
        return [f"{what}: we do not describe it"]
    if offered and status >= 400 and answer.get("message") == NOT_HERE:
        return [f"{what}: we describe it"]
    if status >= 400:
        good = all(isinstance(answer.get(name), str) for name in ("request_id", "code", "message")) and answer["message"]
        return [] if good else [what]
    return openapi.problems(method, call.path(template), status, answer)


def test_every_route_is_answered_as_the_document_has_it(platform, call):
    described = described_here(platform)
    found = []
    routes = official_routes()
    assert len(routes) > 100
    for method, template in routes:
        offered = (method, re.sub(r"\{[^}]+\}", "{}", template)) in described
        for body in ({}, {"branch": 7, "endpoint": [], "project": "x", "role": None, "database": {"name": []}}):
            found += problems_of(call, method.upper(), template, body, offered)
            if method in ("get", "delete"):
                break  # No body.
    assert not found, "\n".join(found)


def test_what_only_newer_clients_know_is_not_here(call):
    for method, template in NEWER:
        assert problems_of(call, method, template, {}, offered=False) == []
