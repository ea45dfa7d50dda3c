"""Who belongs to an organization, as the official document has it."""

import json
import urllib.error
import urllib.request


def ask(platform, recorder, path, method="GET", body=None):
    request = urllib.request.Request(f"{recorder.url}{path}", None if body is None else json.dumps(body).encode(), method=method,
                                     headers={"Authorization": f"Bearer {platform.api_key()}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_operator_is_the_only_member(platform, recorder):
    organization = platform.api("GET", "/api/v2/users/me/organizations")["organizations"][0]["id"]
    me = platform.api("GET", "/api/v2/users/me")
    status, answer = ask(platform, recorder, f"/organizations/{organization}/members")
    assert status == 200
    member = answer["members"][0]["member"]
    assert member["user_id"] == me["id"] and answer["members"][0]["user"]["email"] == me["email"] and len(answer["members"]) == 1
    assert ask(platform, recorder, f"/organizations/{organization}/members/{member['id']}") == (200, member)
    assert ask(platform, recorder, f"/organizations/{organization}/members/0f8fad5b-d9cb-469f-a165-70867728950e")[0] == 404
    assert ask(platform, recorder, f"/organizations/{organization}/invitations") == (200, {"invitations": []})


def test_somebody_is_invited_works_and_is_removed(platform, recorder, project):
    organization = platform.api("GET", "/api/v2/users/me/organizations")["organizations"][0]["id"]
    path = f"/organizations/{organization}"
    status, answer = ask(platform, recorder, f"{path}/invitations", "POST",
                         {"invitations": [{"email": "ana@example.com", "role": "viewer"}]})
    assert status == 200
    token = answer["invitations"][0]["token"]
    assert [one["email"] for one in ask(platform, recorder, f"{path}/invitations")[1]["invitations"]] == ["ana@example.com"]
    joined = without_key(platform, "/invitations/accept", {"token": token, "name": "Ana"})
    member, key = joined["member"]["id"], joined["api_key"]
    try:
        status, answer = ask(platform, recorder, f"{path}/members?sort_by=email&sort_order=asc&limit=1")
        assert status == 200 and answer["members"][0]["user"]["email"] == "ana@example.com" and answer["pagination"]["next"]
        assert as_member(platform, key, "GET", f"/projects/{project.id}") == 200
        assert as_member(platform, key, "GET", f"/projects/{project.id}/connection_uri") == 404
        assert as_member(platform, key, "DELETE", f"/projects/{project.id}") == 404
        assert ask(platform, recorder, f"{path}/members/{member}", "PATCH", {"role": "editor"})[1]["role"] == "editor"
        assert as_member(platform, key, "GET", f"/projects/{project.id}/connection_uri") == 200
    finally:
        assert ask(platform, recorder, f"{path}/members/{member}", "DELETE") == (200, {})
    assert as_member(platform, key, "GET", f"/projects/{project.id}") == 401


def without_key(platform, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http_port}/api/v2{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def as_member(platform, key, method, path):
    """The status of the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{platform.http_port}/api/v2{path}", method=method,
                                     headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_projects_are_shared_with_nobody(platform, recorder, project):
    assert ask(platform, recorder, f"/projects/{project.id}/permissions") == (200, {"project_permissions": []})
    status, answer = ask(platform, recorder, f"/projects/{project.id}/available_preload_libraries")
    assert status == 200 and answer["libraries"]
